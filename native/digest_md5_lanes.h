/* md5 over the lanes that it is told of, and included once for each kind: WIDE words a vector, TARGET and NAME of its
 * functions, TURNED where blocks are turned into vectors by turn8, TERNARY where one instruction does any function of
 * three. They end with the inclusion.
 */
#define LANES (WIDE * PAIR)

typedef uint32_t NAME(Wide) __attribute__((vector_size(4 * WIDE)));

/* Four rounds of sixteen steps over two vectors side by side, so that one's latency hides behind the other. */
INLINE void NAME(rounds)(NAME(Wide) state[PAIR][4], NAME(Wide) words[16][PAIR]) {
    NAME(Wide) a[PAIR], b[PAIR], c[PAIR], d[PAIR];
    for (int p = 0; p < PAIR; p++) a[p] = state[p][0], b[p] = state[p][1], c[p] = state[p][2], d[p] = state[p][3];
#define ROTATE(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#ifdef TERNARY /* any function of three is one instruction */
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#else /* what comes last, x, goes through fewer instructions */
#define G(x, y, z) (((y) & ~(z)) + ((x) & (z)))
#endif
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) (~((y) ^ (~(x) & (z))))
#define STEP(f, a, b, c, d, word, shift, number)                                                                       \
    for (int p = 0; p < PAIR; p++) {                                                                                   \
        const NAME(Wide) sum = a[p] + words[word][p] + SINES[number] + f(b[p], c[p], d[p]);                            \
        a[p] = ROTATE(sum, shift) + b[p];                                                                              \
    }
#define FOUR(f, w0, w1, w2, w3, s0, s1, s2, s3, number)                                                                \
    STEP(f, a, b, c, d, w0, s0, number) STEP(f, d, a, b, c, w1, s1, number + 1)                                        \
    STEP(f, c, d, a, b, w2, s2, number + 2) STEP(f, b, c, d, a, w3, s3, number + 3)
    FOUR(F, 0, 1, 2, 3, 7, 12, 17, 22, 0) FOUR(F, 4, 5, 6, 7, 7, 12, 17, 22, 4)
    FOUR(F, 8, 9, 10, 11, 7, 12, 17, 22, 8) FOUR(F, 12, 13, 14, 15, 7, 12, 17, 22, 12)
    FOUR(G, 1, 6, 11, 0, 5, 9, 14, 20, 16) FOUR(G, 5, 10, 15, 4, 5, 9, 14, 20, 20)
    FOUR(G, 9, 14, 3, 8, 5, 9, 14, 20, 24) FOUR(G, 13, 2, 7, 12, 5, 9, 14, 20, 28)
    FOUR(H, 5, 8, 11, 14, 4, 11, 16, 23, 32) FOUR(H, 1, 4, 7, 10, 4, 11, 16, 23, 36)
    FOUR(H, 13, 0, 3, 6, 4, 11, 16, 23, 40) FOUR(H, 9, 12, 15, 2, 4, 11, 16, 23, 44)
    FOUR(I, 0, 7, 14, 5, 6, 10, 15, 21, 48) FOUR(I, 12, 3, 10, 1, 6, 10, 15, 21, 52)
    FOUR(I, 8, 15, 6, 13, 6, 10, 15, 21, 56) FOUR(I, 4, 11, 2, 9, 6, 10, 15, 21, 60)
#undef FOUR
#undef STEP
#undef ROTATE
#undef F
#undef G
#undef H
#undef I
    for (int p = 0; p < PAIR; p++) state[p][0] += a[p], state[p][1] += b[p], state[p][2] += c[p], state[p][3] += d[p];
}

/* The lanes' blocks as vectors of their words. */
TARGET INLINE void NAME(gather)(const uint8_t *const blocks[LANES], NAME(Wide) words[16][PAIR]) {
#ifdef TURNED
    for (int group = 0; group < LANES / 8; group++)
        for (int half = 0; half < 2; half++) {
            __m256i columns[8];
            turn8(blocks + 8 * group, half, columns);
            for (int w = 0; w < 8; w++) _mm256_storeu_si256((__m256i *)words[8 * half + w] + group, columns[w]);
        }
#else
    for (int l = 0; l < LANES; l++)
        for (int w = 0; w < 16; w++) {
            const uint8_t *p = blocks[l] + 4 * w;
            words[w][l / WIDE][l % WIDE] = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        }
#endif
}

INLINE void NAME(store)(const Lane *lane, NAME(Wide) state[PAIR][4], int l) {
    for (int w = 0; w < 4; w++) {
        const uint32_t word = state[l / WIDE][w][l % WIDE];
        for (int k = 0; k < 4; k++) lane->message->out[4 * w + k] = (uint8_t)(word >> (8 * k));
    }
}

TARGET static void NAME(md5)(Queue *queue) {
    Lane lanes[LANES];
    NAME(Wide) state[PAIR][4], words[16][PAIR];
    size_t busy = 0;
    for (int w = 0; w < 4; w++) for (int l = 0; l < LANES; l++) state[l / WIDE][w][l % WIDE] = START[w];
    for (int l = 0; l < LANES; l++) {
        start_lane(lanes + l, next_of(queue));
        busy += lanes[l].message != NULL;
    }
    while (busy) {
        const uint8_t *blocks[LANES];
        uint32_t ended = 0; /* bit l: lane l */
        for (int l = 0; l < LANES; l++) {
            blocks[l] = next_block(lanes + l);
            ended |= (uint32_t)!lanes[l].total << l;
        }
        NAME(gather)(blocks, words);
        NAME(rounds)(state, words);
        for (; ended; ended &= ended - 1) {
            const int l = __builtin_ctz(ended);
            Lane *lane = lanes + l;
            NAME(store)(lane, state, l);
            for (int w = 0; w < 4; w++) state[l / WIDE][w][l % WIDE] = START[w];
            start_lane(lane, next_of(queue));
            busy -= lane->message == NULL;
        }
    }
}

#undef LANES
#undef WIDE
#undef NAME
#undef TARGET
#undef TURNED
#undef TERNARY
