/* md5 (RFC 1321) of many messages, which advance together in SIMD lanes, one block each: which lanes there are, and the
 * choice between them. The work itself stands in digest_md5_lanes.h.
 */
#ifndef VETSET_DIGEST_MD5_H
#define VETSET_DIGEST_MD5_H

#include "digest_lanes.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { PAIR = 2, AHEAD = 4 * BLOCK /* measured: 64 to 384 bytes do alike */ };

static const uint32_t START[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af,
    0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
    0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97,
    0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

INLINE void start_lane(Lane *lane, const Message *message) {
    fill_lane(lane, message, LITTLE);
    lane->total = message ? lane->left + lane->tails : SIZE_MAX;
    lane->stride = message ? BLOCK : 0;
    if (!lane->left) lane->at = lane->end, lane->left = SIZE_MAX;
}

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
#endif

/* As wide as every processor of these kinds has it. */
#define TARGET
#define NAME(x) x##_plain
#define WIDE 4
#include "digest_md5_lanes.h"

#if defined(__x86_64__)
#define TURNED
#define TARGET __attribute__((target("avx2")))
#define NAME(x) x##_avx2
#define WIDE 8
#include "digest_md5_lanes.h"

#define TURNED
#define TERNARY
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define NAME(x) x##_avx512
#define WIDE 16
#include "digest_md5_lanes.h"
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
