/* sha1 and sha256 (FIPS 180-4) of many messages: STREAMS of them side by side through the processor's own instructions,
 * where it has them, so that one's latency hides behind the others; else one after the other in plain C.
 */
#ifndef VETSET_DIGEST_SHA_H
#define VETSET_DIGEST_SHA_H

#include "digest_lanes.h"
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { STREAMS = 3, SHA1_WORDS = 5, SHA256_WORDS = 8 };

static const uint32_t SHA1_START[SHA256_WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
static const uint32_t SHA1_ROUND[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
static const uint32_t SHA256_START[SHA256_WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const uint32_t SHA256_ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* One stream, or STREAMS of them: `blocks` whole blocks of each into its state of SHA256_WORDS words. */
typedef void (*Compress)(uint32_t *states, const uint8_t *data, size_t blocks);
typedef void (*CompressMany)(uint32_t (*states)[SHA256_WORDS], const uint8_t *const *data, size_t blocks);

/* --- plain ------------------------------------------------------------------------------------------------------------ */

INLINE uint32_t big_word(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#define LEFT(x, n) ((x) << (n) | (x) >> (32 - (n)))
static void sha1_plain(uint32_t *state, const uint8_t *data, size_t blocks) {
    for (; blocks; blocks--, data += BLOCK) {
        uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
        for (int i = 0; i < 16; i++) w[i] = big_word(data + 4 * i);
        for (int i = 16; i < 80; i++) w[i] = LEFT(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            const uint32_t f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
            const uint32_t next = LEFT(a, 5) + f + e + SHA1_ROUND[i / 20] + w[i];
            e = d, d = c, c = LEFT(b, 30), b = a, a = next;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
    }
}
#undef LEFT

static void sha256_plain(uint32_t *state, const uint8_t *data, size_t blocks) {
    for (; blocks; blocks--, data += BLOCK) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++) w[i] = big_word(data + 4 * i);
#define RIGHT(x, n) ((x) >> (n) | (x) << (32 - (n)))
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + (RIGHT(w[i - 15], 7) ^ RIGHT(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
                   (RIGHT(w[i - 2], 17) ^ RIGHT(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(v, state, sizeof v);
        for (int i = 0; i < 64; i++) {
            const uint32_t one = v[7] + (RIGHT(v[4], 6) ^ RIGHT(v[4], 11) ^ RIGHT(v[4], 25)) +
                                 ((v[4] & v[5]) ^ (~v[4] & v[6])) + SHA256_ROUND[i] + w[i];
            const uint32_t two = (RIGHT(v[0], 2) ^ RIGHT(v[0], 13) ^ RIGHT(v[0], 22)) +
                                 ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            for (int k = 7; k > 0; k--) v[k] = v[k - 1];
            v[4] += one, v[0] = one + two;
        }
        for (int k = 0; k < 8; k++) state[k] += v[k];
    }
}
#undef RIGHT

/* --- by the SHA extensions (Intel SDM: SHA256RNDS2, SHA1RNDS4) ---------------------------------------------------------- */

#if defined(__x86_64__)
#define SHA __attribute__((target("sha,sse4.1,ssse3")))

SHA INLINE void load_block(__m128i m[4], const uint8_t *data, __m128i order) {
    for (int k = 0; k < 4; k++) m[k] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * k)), order);
}

/* The states as ABEF and CDGH, four rounds at a time. */
SHA INLINE void sha256_streams(uint32_t (*states)[SHA256_WORDS], const uint8_t *const *data, size_t blocks, const int streams) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef[STREAMS], cdgh[STREAMS];
    for (int s = 0; s < streams; s++) {
        const __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)states[s]), 0xb1);
        const __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(states[s] + 4)), 0x1b);
        abef[s] = _mm_alignr_epi8(low, high, 8), cdgh[s] = _mm_blend_epi16(high, low, 0xf0);
    }
    for (size_t b = 0; b < blocks; b++) {
        __m128i m[STREAMS][4], abef_before[STREAMS], cdgh_before[STREAMS];
        for (int s = 0; s < streams; s++)
            load_block(m[s], data[s] + BLOCK * b, swap), abef_before[s] = abef[s], cdgh_before[s] = cdgh[s];
#pragma GCC unroll 16
        for (int k = 0; k < 16; k++)
            for (int s = 0; s < streams; s++) {
                const __m128i w = _mm_add_epi32(m[s][k & 3], _mm_load_si128((const __m128i *)(SHA256_ROUND + 4 * k)));
                cdgh[s] = _mm_sha256rnds2_epu32(cdgh[s], abef[s], w);
                abef[s] = _mm_sha256rnds2_epu32(abef[s], cdgh[s], _mm_shuffle_epi32(w, 0x0e));
                if (k < 12) {
                    const __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(m[s][k & 3], m[s][(k + 1) & 3]),
                                                       _mm_alignr_epi8(m[s][(k + 3) & 3], m[s][(k + 2) & 3], 4));
                    m[s][k & 3] = _mm_sha256msg2_epu32(next, m[s][(k + 3) & 3]);
                }
            }
        for (int s = 0; s < streams; s++)
            abef[s] = _mm_add_epi32(abef[s], abef_before[s]), cdgh[s] = _mm_add_epi32(cdgh[s], cdgh_before[s]);
    }
    for (int s = 0; s < streams; s++) {
        const __m128i low = _mm_shuffle_epi32(abef[s], 0x1b), high = _mm_shuffle_epi32(cdgh[s], 0xb1);
        _mm_storeu_si128((__m128i *)states[s], _mm_blend_epi16(low, high, 0xf0));
        _mm_storeu_si128((__m128i *)(states[s] + 4), _mm_alignr_epi8(high, low, 8));
    }
}

SHA INLINE __m128i sha1_four(__m128i abcd, __m128i e, const int group) {
    if (group < 5) return _mm_sha1rnds4_epu32(abcd, e, 0);
    if (group < 10) return _mm_sha1rnds4_epu32(abcd, e, 1);
    return group < 15 ? _mm_sha1rnds4_epu32(abcd, e, 2) : _mm_sha1rnds4_epu32(abcd, e, 3);
}

/* The states as ABCD and, on top of a register, E. */
SHA INLINE void sha1_streams(uint32_t (*states)[SHA256_WORDS], const uint8_t *const *data, size_t blocks, const int streams) {
    const __m128i swap = _mm_set_epi64x(0x0001020304050607LL, 0x08090a0b0c0d0e0fLL);
    __m128i abcd[STREAMS], e[STREAMS];
    for (int s = 0; s < streams; s++) {
        abcd[s] = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)states[s]), 0x1b);
        e[s] = _mm_set_epi32((int)states[s][4], 0, 0, 0);
    }
    for (size_t b = 0; b < blocks; b++) {
        __m128i m[STREAMS][4], abcd_before[STREAMS], e_before[STREAMS], older[STREAMS];
        for (int s = 0; s < streams; s++)
            load_block(m[s], data[s] + BLOCK * b, swap), abcd_before[s] = older[s] = abcd[s], e_before[s] = e[s];
#pragma GCC unroll 20
        for (int k = 0; k < 20; k++)
            for (int s = 0; s < streams; s++) {
                const __m128i with = k ? _mm_sha1nexte_epu32(older[s], m[s][k & 3]) : _mm_add_epi32(e[s], m[s][0]);
                older[s] = abcd[s];
                abcd[s] = sha1_four(abcd[s], with, k);
                if (k < 16)
                    m[s][k & 3] = _mm_sha1msg2_epu32(
                        _mm_xor_si128(_mm_sha1msg1_epu32(m[s][k & 3], m[s][(k + 1) & 3]), m[s][(k + 2) & 3]), m[s][(k + 3) & 3]);
            }
        for (int s = 0; s < streams; s++)
            e[s] = _mm_sha1nexte_epu32(older[s], e_before[s]), abcd[s] = _mm_add_epi32(abcd[s], abcd_before[s]);
    }
    for (int s = 0; s < streams; s++) {
        _mm_storeu_si128((__m128i *)states[s], _mm_shuffle_epi32(abcd[s], 0x1b));
        states[s][4] = (uint32_t)_mm_extract_epi32(e[s], 3);
    }
}

#define STREAMED(name)                                                                                                 \
    SHA static void name##_quick(uint32_t *state, const uint8_t *data, size_t blocks) {                                \
        name##_streams((uint32_t (*)[SHA256_WORDS])state, &data, blocks, 1);                                           \
    }                                                                                                                  \
    SHA static void name##_many(uint32_t (*states)[SHA256_WORDS], const uint8_t *const *data, size_t blocks) {         \
        name##_streams(states, data, blocks, STREAMS);                                                                 \
    }
STREAMED(sha1)
STREAMED(sha256)

static int has_sha(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 && __builtin_cpu_supports("sse4.1");
}
#endif

/* --- many messages ---------------------------------------------------------------------------------------------------- */

typedef struct { const uint32_t *start; int words; Compress one; CompressMany many; } Sha;

/* Blocks of a lane that lie in a row from `*data` on. */
INLINE size_t next_blocks(const Lane *lane, const uint8_t **data) {
    *data = lane->left ? lane->at : lane->end + BLOCK * lane->tail;
    return lane->left ? lane->left : lane->tails - lane->tail;
}

/* Past some blocks; whether the message has ended. */
INLINE int advance(Lane *lane, size_t blocks) {
    if (lane->left) lane->at += BLOCK * blocks, lane->left -= blocks;
    else lane->tail += (unsigned)blocks;
    return !lane->left && lane->tail == lane->tails;
}

INLINE void store_big(const uint32_t *state, int words, uint8_t *out) {
    for (int w = 0; w < words; w++)
        for (int k = 0; k < 4; k++) out[4 * w + k] = (uint8_t)(state[w] >> (24 - 8 * k));
}

static void finish_alone(const Sha *sha, Lane *lane, uint32_t *state) {
    for (int ended = 0; !ended;) {
        const uint8_t *data;
        const size_t blocks = next_blocks(lane, &data);
        sha->one(state, data, blocks);
        ended = advance(lane, blocks);
    }
    store_big(state, sha->words, lane->message->out);
}

static void sha_side_by_side(const Sha *sha, Queue *queue) {
    Lane lanes[STREAMS];
    uint32_t states[STREAMS][SHA256_WORDS];
    int busy = 0;
    for (int s = 0; s < STREAMS; s++) {
        fill_lane(lanes + s, next_of(queue), BIG);
        memcpy(states[s], sha->start, sizeof states[s]);
        busy += lanes[s].message != NULL;
    }
    while (busy == STREAMS) {
        const uint8_t *data[STREAMS];
        size_t blocks = SIZE_MAX;
        for (int s = 0; s < STREAMS; s++) {
            const size_t in_a_row = next_blocks(lanes + s, data + s);
            blocks = in_a_row < blocks ? in_a_row : blocks;
        }
        sha->many(states, data, blocks);
        for (int s = 0; s < STREAMS; s++) {
            if (!advance(lanes + s, blocks)) continue;
            store_big(states[s], sha->words, lanes[s].message->out);
            memcpy(states[s], sha->start, sizeof states[s]);
            fill_lane(lanes + s, next_of(queue), BIG);
            busy -= lanes[s].message == NULL;
        }
    }
    for (int s = 0; s < STREAMS; s++)
        if (lanes[s].message) finish_alone(sha, lanes + s, states[s]);
}

static void sha_one_by_one(const Sha *sha, Queue *queue) {
    for (const Message *message = next_of(queue); message; message = next_of(queue)) {
        Lane lane;
        uint32_t state[SHA256_WORDS];
        memcpy(state, sha->start, sizeof state);
        fill_lane(&lane, message, BIG);
        finish_alone(sha, &lane, state);
    }
}

static void sha_of(const Message *messages, size_t count, Sha plain, Sha quick) {
    Queue queue = {messages, count, 0};
    if (quick.many) sha_side_by_side(&quick, &queue);
    else sha_one_by_one(&plain, &queue);
}

static void vetset_sha1(const Message *messages, size_t count) {
    Sha plain = {SHA1_START, SHA1_WORDS, sha1_plain, NULL}, quick = plain;
#if defined(__x86_64__)
    if (has_sha()) quick.one = sha1_quick, quick.many = sha1_many;
#endif
    sha_of(messages, count, plain, quick);
}

static void vetset_sha256(const Message *messages, size_t count) {
    Sha plain = {SHA256_START, SHA256_WORDS, sha256_plain, NULL}, quick = plain;
#if defined(__x86_64__)
    if (has_sha()) quick.one = sha256_quick, quick.many = sha256_many;
#endif
    sha_of(messages, count, plain, quick);
}

#endif
