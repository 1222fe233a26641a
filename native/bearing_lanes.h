/* BLAKE2b of 8 bytes under a key, LANES values side by side; included once for each width. NAME(x) tells the widths apart.
 *
 * Four lanes are a register of AVX2, eight one of AVX-512: wider than that, the sixteen words of a state no longer stay
 * in registers, and it takes twice as long.
 */
typedef uint64_t NAME(Wide) __attribute__((vector_size(8 * LANES)));

INLINE void NAME(compress)(NAME(Wide) h[8], NAME(Wide) m[WORDS], NAME(Wide) bytes, NAME(Wide) last) {
    NAME(Wide) v[WORDS] = {{0}};
    for (int k = 0; k < 8; k++) v[k] = h[k], v[k + 8] = (NAME(Wide)){0} + START[k];
    v[12] ^= bytes, v[14] ^= last;
    for (int r = 0; r < ROUNDS; r++) {
        const uint8_t *s = ORDER[r % 10];
        MIX(v[0], v[4], v[8], v[12], m[s[0]], m[s[1]]);
        MIX(v[1], v[5], v[9], v[13], m[s[2]], m[s[3]]);
        MIX(v[2], v[6], v[10], v[14], m[s[4]], m[s[5]]);
        MIX(v[3], v[7], v[11], v[15], m[s[6]], m[s[7]]);
        MIX(v[0], v[5], v[10], v[15], m[s[8]], m[s[9]]);
        MIX(v[1], v[6], v[11], v[12], m[s[10]], m[s[11]]);
        MIX(v[2], v[7], v[8], v[13], m[s[12]], m[s[13]]);
        MIX(v[3], v[4], v[9], v[14], m[s[14]], m[s[15]]);
    }
    for (int k = 0; k < 8; k++) h[k] ^= v[k] ^ v[k + 8];
}

/* The state behind the key's block, the same in every lane. */
INLINE void NAME(keyed)(const uint8_t *key, size_t key_bytes, uint64_t out[8]) {
    uint8_t block[BLOCK] = {0};
    NAME(Wide) h[8], m[WORDS];
    memcpy(block, key, key_bytes);
    for (int k = 0; k < 8; k++) h[k] = (NAME(Wide)){0} + START[k];
    h[0] ^= 0x01010000 ^ (uint64_t)key_bytes << 8 ^ 8;
    for (int w = 0; w < WORDS; w++) {
        uint64_t word;
        memcpy(&word, block + 8 * w, 8);
        m[w] = (NAME(Wide)){0} + word;
    }
    NAME(compress)(h, m, (NAME(Wide)){0} + BLOCK, (NAME(Wide)){0});
    for (int k = 0; k < 8; k++) out[k] = h[k][0];
}

INLINE void NAME(hash_all)(const int64_t *offsets, const uint8_t *data, const uint8_t *mask, size_t count, const uint8_t *key,
                     size_t key_bytes, uint64_t *out) {
    uint64_t begun[8];
    Lane lanes[LANES];
    NAME(Wide) h[8], m[WORDS] = {{0}}, bytes = {0}, last = {0};
    size_t next = 0, busy = 0;
    NAME(keyed)(key, key_bytes, begun);
    for (int k = 0; k < 8; k++) h[k] = (NAME(Wide)){0} + begun[k];
    for (int l = 0; l < LANES; l++) take_next(lanes + l, offsets, data, mask, count, &next), busy += (size_t)lanes[l].busy;
    while (busy) {
        for (int l = 0; l < LANES; l++) {
            Lane *lane = lanes + l;
            uint64_t words[WORDS] = {0};
            const size_t size = !lane->busy ? 0 : lane->left < BLOCK ? lane->left : BLOCK;
            if (size == BLOCK) memcpy(words, lane->at, BLOCK);
            else if (size) memcpy(words, lane->at, size);
            for (int w = 0; w < WORDS; w++) m[w][l] = words[w];
            lane->at += size, lane->left -= size, lane->done += size;
            bytes[l] = lane->done, last[l] = lane->left ? 0 : ~(uint64_t)0;
        }
        NAME(compress)(h, m, bytes, last);
        for (int l = 0; l < LANES; l++) {
            Lane *lane = lanes + l;
            if (!lane->busy || lane->left) continue;
            out[lane->row] = h[0][l] ? h[0][l] : 1; /* 0 means absent */
            for (int k = 0; k < 8; k++) h[k][l] = begun[k];
            take_next(lane, offsets, data, mask, count, &next);
            busy -= !lane->busy;
        }
    }
}

#undef NAME
#undef LANES
