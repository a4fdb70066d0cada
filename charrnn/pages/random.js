"use strict";
// NumPy's random numbers: SeedSequence (M. E. O'Neill's seed_seq_fe) and PCG64 (O'Neill 2014, PCG
// XSL RR 128/64), so that a seed and a take draw what they draw in `charrnn sample`.
{
  const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
  const [LOW, ALL] = [(1n << 64n) - 1n, (1n << 128n) - 1n];
  const times = (a, b) => Math.imul(a, b) >>> 0;

  // A whole number >= 0 in words of 32 bits, the lowest first; at least one.
  function wordsOf(number) {
    const words = [];
    for (let rest = BigInt(number); rest > 0n || !words.length; rest >>= 32n) {
      words.push(Number(rest & 0xffffffffn));
    }
    return words;
  }

  // As numpy.random.SeedSequence(numbers): a pool of four words.
  class SeedSequence {
    constructor(numbers) {
      const entropy = numbers.flatMap(wordsOf);
      let constant = 0x43b0d7e5;
      const hashed = (value) => {
        value = (value ^ constant) >>> 0;
        constant = times(constant, 0x931e8875);
        value = times(value, constant);
        return (value ^ (value >>> 16)) >>> 0;
      };
      const mixed = (x, y) => {
        const value = (times(0xca01f9dd, x) - times(0x4973f715, y)) >>> 0;
        return (value ^ (value >>> 16)) >>> 0;
      };
      const pool = [0, 1, 2, 3].map((n) => hashed(entropy[n] ?? 0));
      for (let from = 0; from < 4; from++) {
        for (let to = 0; to < 4; to++) {
          if (from !== to) pool[to] = mixed(pool[to], hashed(pool[from]));
        }
      }
      for (const word of entropy.slice(4)) {
        for (let to = 0; to < 4; to++) pool[to] = mixed(pool[to], hashed(word));
      }
      this.pool = pool;
    }

    // `count` words of 32 bits.
    state(count) {
      let constant = 0x8b51f9dd;
      return Array.from({ length: count }, (_, n) => {
        let value = (this.pool[n % 4] ^ constant) >>> 0;
        constant = times(constant, 0x58f38ded);
        value = times(value, constant);
        return (value ^ (value >>> 16)) >>> 0;
      });
    }
  }

  // As numpy.random.Generator(PCG64(SeedSequence(numbers))).
  class Generator {
    constructor(...numbers) {
      const words = new SeedSequence(numbers).state(8).map(BigInt);
      const [high, low, sequenceHigh, sequenceLow] = [0, 2, 4, 6].map(
        (n) => words[n] | (words[n + 1] << 32n));
      this.increment = ((((sequenceHigh << 64n) | sequenceLow) << 1n) | 1n) & ALL;
      this.state = this.increment;
      this.state = (this.state + ((high << 64n) | low)) & ALL;
      this.advance();
    }

    advance() { this.state = (this.state * MULTIPLIER + this.increment) & ALL; }

    // A number in [0, 1), of 53 bits.
    random() {
      this.advance();
      const turn = this.state >> 122n, bits = (this.state >> 64n) ^ (this.state & LOW);
      const turned = ((bits >> turn) | (bits << (64n - turn))) & LOW;
      return Number(turned >> 11n) / 2 ** 53;
    }
  }

  Object.assign(globalThis, { SeedSequence, Generator });
}
