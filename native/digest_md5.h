/* md5 (RFC 1321) of many messages: LANES of them advance together in SIMD lanes, one block each. */
#ifndef VETSET_DIGEST_MD5_H
#define VETSET_DIGEST_MD5_H

#include "digest_lanes.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WIDE = 16, PAIR = 2, LANES = WIDE * PAIR };
typedef uint32_t Wide __attribute__((vector_size(4 * WIDE)));

static const uint32_t START[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af,
    0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
    0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97,
    0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

/* Four rounds of sixteen steps over two vectors side by side, so that one's latency hides behind the other. */
INLINE void md5_rounds(Wide state[PAIR][4], Wide words[16][PAIR]) {
    Wide a[PAIR], b[PAIR], c[PAIR], d[PAIR];
    for (int p = 0; p < PAIR; p++) a[p] = state[p][0], b[p] = state[p][1], c[p] = state[p][2], d[p] = state[p][3];
#define ROTATE(x, n) (((x) << (n)) | ((x) >> (32 - (n))))
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))
#define STEP(f, a, b, c, d, word, shift, number)                                                                       \
    for (int p = 0; p < PAIR; p++) {                                                                                   \
        const Wide sum = a[p] + f(b[p], c[p], d[p]) + words[word][p] + SINES[number];                                  \
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
    for (int p = 0; p < PAIR; p++) state[p][0] += a[p], state[p][1] += b[p], state[p][2] += c[p], state[p][3] += d[p];
}

typedef void (*Gather)(const uint8_t *const blocks[LANES], Wide words[16][PAIR]);

INLINE void gather_plain(const uint8_t *const blocks[LANES], Wide words[16][PAIR]) {
    for (int l = 0; l < LANES; l++)
        for (int w = 0; w < 16; w++) {
            const uint8_t *p = blocks[l] + 4 * w;
            words[w][l / WIDE][l % WIDE] = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        }
}

#if defined(__x86_64__)
/* Eight blocks' halves turned: row l of eight words becomes column l. */
__attribute__((target("avx2"))) INLINE void turn8(const uint8_t *const *blocks, int half, __m256i out[8]) {
    __m256i r[8], t[8];
    for (int l = 0; l < 8; l++) r[l] = _mm256_loadu_si256((const __m256i *)(blocks[l] + 32 * half));
    for (int l = 0; l < 8; l += 2) t[l] = _mm256_unpacklo_epi32(r[l], r[l + 1]), t[l + 1] = _mm256_unpackhi_epi32(r[l], r[l + 1]);
    for (int l = 0; l < 8; l += 4) {
        r[l] = _mm256_unpacklo_epi64(t[l], t[l + 2]), r[l + 1] = _mm256_unpackhi_epi64(t[l], t[l + 2]);
        r[l + 2] = _mm256_unpacklo_epi64(t[l + 1], t[l + 3]), r[l + 3] = _mm256_unpackhi_epi64(t[l + 1], t[l + 3]);
    }
    for (int l = 0; l < 4; l++) {
        out[l] = _mm256_permute2x128_si256(r[l], r[l + 4], 0x20);
        out[l + 4] = _mm256_permute2x128_si256(r[l], r[l + 4], 0x31);
    }
}

__attribute__((target("avx2"))) INLINE void gather_avx2(const uint8_t *const blocks[LANES], Wide words[16][PAIR]) {
    for (int group = 0; group < LANES / 8; group++)
        for (int half = 0; half < 2; half++) {
            __m256i columns[8];
            turn8(blocks + 8 * group, half, columns);
            for (int w = 0; w < 8; w++)
                _mm256_storeu_si256((__m256i *)&words[8 * half + w][group / 2] + group % 2, columns[w]);
        }
}
#endif

INLINE void store_digest(Lane *lane, Wide state[PAIR][4], int l) {
    for (int w = 0; w < 4; w++) {
        const uint32_t word = state[l / WIDE][w][l % WIDE];
        for (int k = 0; k < 4; k++) lane->message->out[4 * w + k] = (uint8_t)(word >> (8 * k));
    }
}

INLINE void start_lane(Lane *lane, const Message *message) {
    fill_lane(lane, message, LITTLE);
    lane->total = message ? lane->left + lane->tails : SIZE_MAX;
    lane->stride = message ? BLOCK : 0;
    if (!lane->left) lane->at = lane->end, lane->left = SIZE_MAX;
}

enum { AHEAD = 4 * BLOCK }; /* measured: 64 to 256 bytes do alike, 512 less */

/* The block that comes next, without a branch: where a lane's way leads is hard to foretell. What lies ahead is asked
 * for, since there are more lanes than ways that a processor foresees by itself; asking reads nothing, of any place.
 */
INLINE const uint8_t *next_block(Lane *lane) {
    const uint8_t *block = lane->at, *next = block + lane->stride;
    lane->at = --lane->left ? next : lane->end;
    lane->total--;
    __builtin_prefetch((const void *)((uintptr_t)block + AHEAD));
    return block;
}

#define MD5_VARIANT(name, target, gather)                                                                              \
    target static void md5_##name(Queue *queue) {                                                                      \
        Lane lanes[LANES];                                                                                             \
        Wide state[PAIR][4], words[16][PAIR];                                                                          \
        size_t busy = 0;                                                                                               \
        for (int w = 0; w < 4; w++) for (int l = 0; l < LANES; l++) state[l / WIDE][w][l % WIDE] = START[w];           \
        for (int l = 0; l < LANES; l++) {                                                                              \
            start_lane(lanes + l, next_of(queue));                                                                     \
            busy += lanes[l].message != NULL;                                                                          \
        }                                                                                                              \
        while (busy) {                                                                                                 \
            const uint8_t *blocks[LANES];                                                                              \
            uint32_t ended = 0; /* bit l: lane l */                                                                    \
            for (int l = 0; l < LANES; l++) {                                                                          \
                blocks[l] = next_block(lanes + l);                                                                     \
                ended |= (uint32_t)!lanes[l].total << l;                                                               \
            }                                                                                                          \
            gather(blocks, words);                                                                                     \
            md5_rounds(state, words);                                                                                  \
            for (; ended; ended &= ended - 1) {                                                                        \
                const int l = __builtin_ctz(ended);                                                                    \
                Lane *lane = lanes + l;                                                                                \
                store_digest(lane, state, l);                                                                          \
                for (int w = 0; w < 4; w++) state[l / WIDE][w][l % WIDE] = START[w];                                   \
                start_lane(lane, next_of(queue));                                                                      \
                busy -= lane->message == NULL;                                                                         \
            }                                                                                                          \
        }                                                                                                              \
    }

MD5_VARIANT(plain, , gather_plain)
#if defined(__x86_64__)
MD5_VARIANT(avx2, __attribute__((target("avx2"))), gather_avx2)
MD5_VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), gather_avx2)
#endif

static void vetset_md5(const Message *messages, size_t count) {
    Queue queue = {messages, count, 0};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        md5_avx512(&queue);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        md5_avx2(&queue);
        return;
    }
#endif
    md5_plain(&queue);
}

#endif
