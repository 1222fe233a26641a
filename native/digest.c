/* Digests of many strings and of many buffers at once: md5 in SIMD lanes, sha256 by the processor's own instructions
 * where it has them, and hex text read as digests (kernels/digest.py defines them all).
 *
 * Lanes: LANES messages advance together, one block each. When a message ends, its digest is stored and the next takes
 * its lane, so that lengths may differ. The last block or two of a message, with padding, stand in the lane itself.
 */
#include "native.h"
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* Where the messages are: message i is `size` bytes at `data`; only those under the mask are digested. */
typedef struct { const uint8_t *data; size_t size; uint8_t *out; } Message;
typedef struct { const Message *messages; size_t count, next; } Queue;

/* --- md5 (RFC 1321) ----------------------------------------------------------------------------------------------- */

enum { WIDE = 16, PAIR = 2, LANES = WIDE * PAIR, MD5_BYTES = 16, BLOCK = 64 };
typedef uint32_t Wide __attribute__((vector_size(4 * WIDE)));

typedef struct {
    const uint8_t *at;
    size_t left;            /* whole blocks at `at` before the tail */
    unsigned tail, tails;   /* which block of the tail comes next, and how many there are */
    const Message *message; /* NULL: an idle lane, which digests its tail and keeps nothing */
    uint8_t end[2 * BLOCK];
} Lane;

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

/* A message into a lane: its whole blocks where they are, the rest and the padding in the lane. */
static void fill_lane(Lane *lane, const Message *message) {
    static const uint8_t nothing[1] = {0};
    const size_t size = message ? message->size : 0, rest = size % BLOCK;
    const uint8_t *data = message ? message->data : nothing;
    lane->message = message;
    lane->at = data;
    lane->left = size / BLOCK;
    lane->tail = 0;
    lane->tails = rest + 9 > BLOCK ? 2 : 1;
    memset(lane->end, 0, sizeof lane->end);
    if (rest) memcpy(lane->end, data + (size - rest), rest);
    lane->end[rest] = 0x80;
    const uint64_t bits = (uint64_t)size * 8;
    for (int k = 0; k < 8; k++) lane->end[lane->tails * BLOCK - 8 + k] = (uint8_t)(bits >> (8 * k));
}

static const Message *next_of(Queue *queue) {
    return queue->next < queue->count ? queue->messages + queue->next++ : NULL;
}

INLINE const uint8_t *next_block(Lane *lane) {
    if (lane->left) {
        const uint8_t *block = lane->at;
        lane->at += BLOCK, lane->left--;
        return block;
    }
    return lane->end + BLOCK * lane->tail++;
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

#define MD5_VARIANT(name, target, gather)                                                                              \
    target static void md5_##name(Queue *queue) {                                                                      \
        static const uint8_t idle[BLOCK] = {0x80};                                                                     \
        Lane lanes[LANES];                                                                                             \
        Wide state[PAIR][4], words[16][PAIR];                                                                          \
        size_t busy = 0;                                                                                               \
        for (int w = 0; w < 4; w++) for (int l = 0; l < LANES; l++) state[l / WIDE][w][l % WIDE] = START[w];           \
        for (int l = 0; l < LANES; l++) {                                                                              \
            fill_lane(lanes + l, next_of(queue));                                                                      \
            busy += lanes[l].message != NULL;                                                                          \
        }                                                                                                              \
        while (busy) {                                                                                                 \
            const uint8_t *blocks[LANES];                                                                              \
            for (int l = 0; l < LANES; l++) blocks[l] = lanes[l].message ? next_block(lanes + l) : idle;               \
            gather(blocks, words);                                                                                     \
            md5_rounds(state, words);                                                                                  \
            for (int l = 0; l < LANES; l++) {                                                                          \
                Lane *lane = lanes + l;                                                                                \
                if (!lane->message || lane->left || lane->tail < lane->tails) continue;                                \
                store_digest(lane, state, l);                                                                          \
                for (int w = 0; w < 4; w++) state[l / WIDE][w][l % WIDE] = START[w];                                   \
                fill_lane(lane, next_of(queue));                                                                       \
                busy -= lane->message == NULL;                                                                         \
            }                                                                                                          \
        }                                                                                                              \
    }

MD5_VARIANT(plain, , gather_plain)
#if defined(__x86_64__)
MD5_VARIANT(avx2, __attribute__((target("avx2"))), gather_avx2)
MD5_VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), gather_avx2)
#endif

void vetset_md5(const Message *messages, size_t count) {
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

/* --- sha256 (FIPS 180-4) ------------------------------------------------------------------------------------------ */

static const uint32_t SHA_START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
static const uint32_t SHA_ROUND[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void sha256_plain(uint32_t state[8], const uint8_t *data, size_t blocks) {
    for (; blocks; blocks--, data += BLOCK) {
        uint32_t w[64], v[8];
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)data[4 * i] << 24 | (uint32_t)data[4 * i + 1] << 16 | (uint32_t)data[4 * i + 2] << 8 | data[4 * i + 3];
#define RIGHT(x, n) ((x) >> (n) | (x) << (32 - (n)))
        for (int i = 16; i < 64; i++)
            w[i] = w[i - 16] + (RIGHT(w[i - 15], 7) ^ RIGHT(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
                   (RIGHT(w[i - 2], 17) ^ RIGHT(w[i - 2], 19) ^ w[i - 2] >> 10);
        memcpy(v, state, sizeof v);
        for (int i = 0; i < 64; i++) {
            const uint32_t one = v[7] + (RIGHT(v[4], 6) ^ RIGHT(v[4], 11) ^ RIGHT(v[4], 25)) +
                                 ((v[4] & v[5]) ^ (~v[4] & v[6])) + SHA_ROUND[i] + w[i];
            const uint32_t two = (RIGHT(v[0], 2) ^ RIGHT(v[0], 13) ^ RIGHT(v[0], 22)) +
                                 ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            for (int k = 7; k > 0; k--) v[k] = v[k - 1];
            v[4] += one, v[0] = one + two;
        }
        for (int k = 0; k < 8; k++) state[k] += v[k];
    }
}

#if defined(__x86_64__)
/* By the SHA extensions (Intel SDM, SHA256RNDS2): the state in two registers as ABEF and CDGH. */
__attribute__((target("sha,sse4.1,ssse3"))) static void sha256_quick(uint32_t state[8], const uint8_t *data, size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(t, high, 8), cdgh = _mm_blend_epi16(high, t, 0xf0);
    for (; blocks; blocks--, data += BLOCK) {
        const __m128i before = abef, before2 = cdgh;
        __m128i m[4];
        for (int k = 0; k < 4; k++) m[k] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * k)), swap);
        for (int k = 0; k < 16; k++) {
            const __m128i w = _mm_add_epi32(m[k & 3], _mm_load_si128((const __m128i *)(SHA_ROUND + 4 * k)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, w);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(w, 0x0e));
            if (k < 12) {
                const __m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(m[k & 3], m[(k + 1) & 3]),
                                                   _mm_alignr_epi8(m[(k + 3) & 3], m[(k + 2) & 3], 4));
                m[k & 3] = _mm_sha256msg2_epu32(next, m[(k + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, before), cdgh = _mm_add_epi32(cdgh, before2);
    }
    t = _mm_shuffle_epi32(abef, 0x1b), high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(t, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, t, 8));
}

static int has_sha(void) {
    unsigned a, b, c, d;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    return (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
}
#endif

typedef void (*Compress)(uint32_t state[8], const uint8_t *data, size_t blocks);

void vetset_sha256(const Message *messages, size_t count) {
    Compress compress = sha256_plain;
#if defined(__x86_64__)
    if (has_sha()) compress = sha256_quick;
#endif
    for (size_t i = 0; i < count; i++) {
        uint32_t state[8];
        uint8_t end[2 * BLOCK] = {0};
        const size_t size = messages[i].size, rest = size % BLOCK, tails = rest + 9 > BLOCK ? 2 : 1;
        memcpy(state, SHA_START, sizeof state);
        if (size / BLOCK) compress(state, messages[i].data, size / BLOCK);
        if (rest) memcpy(end, messages[i].data + (size - rest), rest);
        end[rest] = 0x80;
        for (int k = 0; k < 8; k++) end[tails * BLOCK - 1 - k] = (uint8_t)((uint64_t)size * 8 >> (8 * k));
        compress(state, end, tails);
        for (int k = 0; k < 32; k++) messages[i].out[k] = (uint8_t)(state[k / 4] >> (24 - 8 * (k % 4)));
    }
}

/* --- hex ---------------------------------------------------------------------------------------------------------- */

static int8_t HEX[256];

__attribute__((constructor)) static void make_hex(void) {
    memset(HEX, -1, sizeof HEX);
    for (int k = 0; k < 10; k++) HEX['0' + k] = (int8_t)k;
    for (int k = 0; k < 6; k++) HEX['a' + k] = HEX['A' + k] = (int8_t)(10 + k);
}

/* Reads 2 * width characters; whether all are hex digits. */
static int unhex(const uint8_t *text, size_t width, uint8_t *out) {
    int bad = 0;
    for (size_t k = 0; k < width; k++) {
        const int high = HEX[text[2 * k]], low = HEX[text[2 * k + 1]];
        bad |= high | low;
        out[k] = (uint8_t)((unsigned)high << 4 | (low & 15));
    }
    return bad >= 0;
}

/* --- columns ------------------------------------------------------------------------------------------------------ */

/* An Arrow column of large binary: `count` values from place `first` of the offsets. Whether its bounds hold. */
int vetset_column_holds(const int64_t *offsets, size_t offsets_count, size_t data_bytes, size_t first, size_t count) {
    if (first > offsets_count || count >= offsets_count - first + (offsets_count > first)) return 0;
    if (offsets_count < first + count + 1) return 0;
    int64_t before = offsets[first];
    if (before < 0) return 0;
    for (size_t i = 1; i <= count; i++) {
        const int64_t end = offsets[first + i];
        if (end < before) return 0;
        before = end;
    }
    return (uint64_t)before <= data_bytes;
}

#ifndef VETSET_FUZZ
/* Messages of the rows under the mask, each with its place in `out`. NULL without memory. */
static Message *messages_of(const int64_t *offsets, const uint8_t *data, const uint8_t *mask, size_t count, size_t width,
                            uint8_t *out, size_t *used) {
    Message *messages = malloc((count + 1) * sizeof *messages);
    size_t at = 0;
    for (size_t i = 0; messages && i < count; i++)
        if (mask[i])
            messages[at++] = (Message){data + offsets[i], (size_t)(offsets[i + 1] - offsets[i]), out + i * width};
    *used = at;
    return messages;
}

/* column_digests(name, offsets, data, first, mask, out): digests of the rows under the mask into (rows, width). */
static PyObject *column_digests(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    Py_buffer offsets, data, mask, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "sy*y*ny*w*", &name, &offsets, &data, &first, &mask, &out)) return NULL;
    const int md5 = !strcmp(name, "md5"), sha = !strcmp(name, "sha256");
    const size_t width = md5 ? 16 : 32, count = (size_t)mask.len;
    const int sound = (md5 || sha) && first >= 0 && (size_t)out.len == count * width &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    int memory = 1;
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        size_t used;
        Message *messages = messages_of((const int64_t *)offsets.buf + first, data.buf, mask.buf, count, width, out.buf, &used);
        memory = messages != NULL;
        if (memory) (md5 ? vetset_md5 : vetset_sha256)(messages, used);
        free(messages);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&mask), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    if (!memory) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* body_digests(name, bodies, out): digests of a sequence of buffers into (bodies, width). */
static PyObject *body_digests(PyObject *module, PyObject *args) {
    (void)module;
    const char *name;
    PyObject *bodies;
    Py_buffer out;
    if (!PyArg_ParseTuple(args, "sOw*", &name, &bodies, &out)) return NULL;
    const int md5 = !strcmp(name, "md5"), sha = !strcmp(name, "sha256");
    const size_t width = md5 ? 16 : 32;
    PyObject *list = PySequence_Fast(bodies, "bodies are a sequence");
    const size_t count = list ? (size_t)PySequence_Fast_GET_SIZE(list) : 0;
    Py_buffer *views = calloc(count + 1, sizeof *views);
    Message *messages = malloc((count + 1) * sizeof *messages);
    size_t held = 0;
    int done = list && views && messages && (md5 || sha) && (size_t)out.len == count * width;
    for (; done && held < count; held++) {
        if (PyObject_GetBuffer(PySequence_Fast_GET_ITEM(list, held), views + held, PyBUF_SIMPLE) < 0) { done = 0; break; }
        messages[held] = (Message){views[held].buf, (size_t)views[held].len, (uint8_t *)out.buf + held * width};
    }
    if (done) {
        Py_BEGIN_ALLOW_THREADS
        (md5 ? vetset_md5 : vetset_sha256)(messages, count);
        Py_END_ALLOW_THREADS
    }
    while (held) PyBuffer_Release(views + --held);
    free(views), free(messages);
    Py_XDECREF(list);
    PyBuffer_Release(&out);
    if (!done) return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "bodies and digests disagree");
    Py_RETURN_NONE;
}

/* column_unhex(offsets, data, first, present, out): hex digests read; present[i] becomes 1 for a digest, 2 for a value
 * that is neither a digest as it stands nor empty, and which somebody else has to look at. */
static PyObject *column_unhex(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, present, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*nw*w*", &offsets, &data, &first, &present, &out)) return NULL;
    const size_t count = (size_t)present.len, width = count ? (size_t)out.len / count : 0;
    const int sound = first >= 0 && (size_t)out.len == count * width &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        const int64_t *at = (const int64_t *)offsets.buf + first;
        uint8_t *mark = present.buf, *digest = out.buf;
        for (size_t i = 0; i < count; i++, digest += width) {
            const size_t size = (size_t)(at[i + 1] - at[i]);
            const uint8_t *text = (const uint8_t *)data.buf + at[i];
            mark[i] = size == 0 ? 0 : size == 2 * width && unhex(text, width, digest) ? 1 : 2;
            if (mark[i] == 2) memset(digest, 0, width);
        }
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&present), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    Py_RETURN_NONE;
}

PyMethodDef digest_methods[] = {
    {"column_digests", column_digests, METH_VARARGS, "Digests of an Arrow column of large binary."},
    {"body_digests", body_digests, METH_VARARGS, "Digests of a sequence of buffers."},
    {"column_unhex", column_unhex, METH_VARARGS, "Hex digests of an Arrow column of large binary."},
    {NULL, NULL, 0, NULL},
};
#endif
