/* Addresses that are in normal form already, told without a parser, and the forms made of them (kernels/url.py defines
 * all of it).
 *
 * The language is that of the regular expression there: http or https; a host of lower-case labels without double
 * hyphens, whose last label starts with a letter; a path of segments that start with a plain character; perhaps a query.
 * It is read 64 bytes at a time, as masks of where each class of bytes stands, where the processor helps; else byte by
 * byte.
 */
#include "native.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

enum { LABEL = 1, LETTER = 2, PLAIN = 4, INNER = 8, QUERY = 16 };
/* What an address is: none of the language; of it; of it once scheme and host are in lower case. */
enum { OTHER = 0, SETTLED = 1, FOLDED = 2 };
/* What became of a form: there is none; it was made; somebody else has to make it. */
enum { NONE = 0, MADE = 1, LEFT = 2 };

static uint8_t CLASSES[256];
static uint8_t BY_LOW_HALF[16] __attribute__((aligned(16))); /* bit h: the byte with this low half and high half h is QUERY less ? */

__attribute__((constructor)) static void make_classes(void) {
    for (int c = 'a'; c <= 'z'; c++) CLASSES[c] |= LABEL | LETTER | PLAIN, CLASSES[c - 32] |= LABEL | LETTER | PLAIN;
    for (int c = '0'; c <= '9'; c++) CLASSES[c] |= LABEL | PLAIN;
    for (const char *p = "_~!$&()*+,;=:@-"; *p; p++) CLASSES[(uint8_t)*p] |= PLAIN;
    for (int c = 0; c < 256; c++) if (CLASSES[c] & PLAIN) CLASSES[c] |= INNER | QUERY;
    CLASSES['.'] |= INNER | QUERY, CLASSES['%'] |= INNER | QUERY, CLASSES['/'] |= QUERY, CLASSES['?'] |= QUERY;
    for (int c = 0; c < 128; c++) if (CLASSES[c] & QUERY && c != '?') BY_LOW_HALF[c & 15] |= (uint8_t)(1 << (c >> 4));
}

INLINE int is_upper(uint8_t c) { return (uint8_t)(c - 'A') < 26; }

/* Bytes of the scheme with its slashes, in any case, or 0 if it is neither http nor https. */
INLINE size_t scheme_of(const uint8_t *p, size_t size) {
    uint32_t head;
    if (size < 7) return 0;
    memcpy(&head, p, 4);
    const uint32_t http = 'h' | 't' << 8 | 't' << 16 | (uint32_t)'p' << 24;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    head = __builtin_bswap32(head);
#endif
    if ((head | 0x20202020) != http) return 0;
    const size_t colon = (p[4] | 32) == 's' ? 5 : 4;
    return size >= colon + 3 && p[colon] == ':' && p[colon + 1] == '/' && p[colon + 2] == '/' ? colon + 3 : 0;
}

INLINE int any_upper(const uint8_t *p, size_t size) {
    int found = 0;
    for (size_t k = 0; k < size; k++) found |= is_upper(p[k]);
    return found;
}

static int settled_plain(const uint8_t *p, size_t size) {
    const uint8_t *table = CLASSES;
    size_t at = scheme_of(p, size);
    if (!at) return OTHER;
    int letter = 0;
    for (;;) { /* labels */
        if (at >= size || !(table[p[at]] & LABEL)) return OTHER;
        letter = table[p[at]] & LETTER;
        while (at < size && (table[p[at]] & LABEL || (p[at] == '-' && at + 1 < size && table[p[at + 1]] & LABEL && p[at - 1] != '-')))
            at++;
        if (at >= size) return OTHER; /* no path */
        if (p[at] == '.') { at++; continue; }
        break;
    }
    if (!letter || p[at] != '/') return OTHER;
    const int what = any_upper(p, at) ? FOLDED : SETTLED;
    while (at < size && p[at] == '/') {
        at++;
        if (at < size && table[p[at]] & PLAIN)
            while (at < size && table[p[at]] & INNER) at++;
    }
    if (at == size) return what;
    if (p[at] != '?' || ++at == size) return OTHER;
    while (at < size && table[p[at]] & QUERY) at++;
    return at == size ? what : OTHER;
}

#if defined(__x86_64__)
enum { BLOCK = 64 };
typedef struct { uint64_t digit, letter, upper, dot, hyphen, slash, percent, mark, tail; } Masks; /* bit k: byte k is one */

__attribute__((target("avx2"))) INLINE uint32_t among(__m256i x, char first, char count) {
    const __m256i from = _mm256_sub_epi8(x, _mm256_set1_epi8(first));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(from, _mm256_set1_epi8((char)(count - 1))), from));
}

__attribute__((target("avx2"))) INLINE uint32_t equal32(__m256i x, char c) {
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, _mm256_set1_epi8(c)));
}

__attribute__((target("avx2"))) INLINE uint32_t tail32(__m256i x) {
    const __m256i low = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)BY_LOW_HALF)), half = _mm256_set1_epi8(15);
    const __m256i high = _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128,
                                          0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i has = _mm256_and_si256(_mm256_shuffle_epi8(low, _mm256_and_si256(x, half)),
                                         _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(x, 4), half)));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(has, _mm256_setzero_si256()));
}

/* The masks of up to 64 bytes; what lies beyond `size` counts as zeros. `host`: the classes of a host are asked for too. */
__attribute__((target("avx2"))) INLINE Masks masks_avx2(const uint8_t *p, size_t size, int host) {
    uint8_t block[BLOCK] = {0};
    if (size < BLOCK) memcpy(block, p, size), p = block;
    const __m256i a = _mm256_loadu_si256((const __m256i *)p), b = _mm256_loadu_si256((const __m256i *)(p + 32));
#define BOTH(make, ...) ((uint64_t)make(a, ##__VA_ARGS__) | (uint64_t)make(b, ##__VA_ARGS__) << 32)
    Masks m = {.dot = BOTH(equal32, '.'), .slash = BOTH(equal32, '/'), .percent = BOTH(equal32, '%'),
               .mark = BOTH(equal32, '?'), .tail = BOTH(tail32)};
    if (host) {
        m.upper = BOTH(among, 'A', 26), m.letter = m.upper | BOTH(among, 'a', 26);
        m.digit = BOTH(among, '0', 10), m.hyphen = BOTH(equal32, '-');
    }
#undef BOTH
    return m;
}

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl")))
WIDE INLINE uint64_t among64(__m512i x, char first, char count) {
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, _mm512_set1_epi8(first)), _mm512_set1_epi8(count));
}

WIDE INLINE Masks masks_avx512(const uint8_t *p, size_t size, int host) {
    const __m512i x = size < BLOCK ? _mm512_maskz_loadu_epi8(((uint64_t)1 << size) - 1, p) : _mm512_loadu_si512(p);
    const __m512i low = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)BY_LOW_HALF)), half = _mm512_set1_epi8(15);
    const __m512i high = _mm512_broadcast_i32x4(_mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0));
#define EQUAL(c) _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(c))
    Masks m = {.dot = EQUAL('.'), .slash = EQUAL('/'), .percent = EQUAL('%'), .mark = EQUAL('?'),
               .tail = _mm512_test_epi8_mask(_mm512_shuffle_epi8(low, _mm512_and_si512(x, half)),
                                             _mm512_shuffle_epi8(high, _mm512_and_si512(_mm512_srli_epi16(x, 4), half)))};
    if (host) {
        m.upper = among64(x, 'A', 26), m.letter = m.upper | among64(x, 'a', 26);
        m.digit = among64(x, '0', 10), m.hyphen = EQUAL('-');
    }
#undef EQUAL
    return m;
}

/* Where the host ends, if what stands before the first slash of the block is one; else 0. */
INLINE unsigned host_end(const Masks *m) {
    if (!(m->slash & ~(uint64_t)1)) return 0;
    const unsigned end = (unsigned)__builtin_ctzll(m->slash);
    if (!end) return 0;
    const uint64_t host = ((uint64_t)1 << end) - 1, dots = m->dot & host, between = (m->dot | m->hyphen) & host;
    if (((m->letter | m->digit) & host) != (host & ~between)) return 0;
    if (between & (between << 1) || between & 1 || between >> (end - 1) & 1) return 0;
    const unsigned last = dots ? 64 - (unsigned)__builtin_clzll(dots) : 0; /* where the last label starts */
    return m->letter >> last & 1 ? end : 0;
}

#define SETTLED_VARIANT(name, target, masks)                                                                           \
    target static int settled_##name(const uint8_t *p, size_t size) {                                                  \
        const size_t scheme = scheme_of(p, size);                                                                      \
        if (!scheme || size == scheme) return OTHER;                                                                   \
        const uint8_t *rest = p + scheme;                                                                              \
        size_t left = size - scheme;                                                                                   \
        Masks m = masks(rest, left < BLOCK ? left : BLOCK, 1);                                                         \
        if (!m.slash) return left < BLOCK ? OTHER : settled_plain(p, size); /* a host longer than a block */           \
        const unsigned end = host_end(&m);                                                                             \
        if (!end) return OTHER;                                                                                        \
        const int what = m.upper << (64 - end) || any_upper(p, scheme - 3) ? FOLDED : SETTLED;                         \
        uint64_t from = ~(uint64_t)0 << end, slashed = 0;                                                              \
        for (int query = 0;;) {                                                                                        \
            const uint64_t live = from & (left < BLOCK ? ((uint64_t)1 << left) - 1 : ~(uint64_t)0);                    \
            const uint64_t wrong = live & ~(m.tail | m.mark);                                                          \
            uint64_t path = live;                                                                                      \
            if (!query && m.mark & live) {                                                                             \
                const unsigned place = (unsigned)__builtin_ctzll(m.mark & live);                                       \
                if (place + 1 == left) return OTHER;                                                                   \
                path &= ((uint64_t)1 << place) - 1;                                                                    \
            }                                                                                                          \
            if (wrong || (!query && path & (m.slash << 1 | slashed) & (m.dot | m.percent))) return OTHER;              \
            query |= (m.mark & live) != 0;                                                                             \
            if (left <= BLOCK) return what;                                                                            \
            slashed = m.slash >> 63, from = ~(uint64_t)0;                                                              \
            rest += BLOCK, left -= BLOCK;                                                                              \
            m = masks(rest, left < BLOCK ? left : BLOCK, 0);                                                           \
        }                                                                                                              \
    }

SETTLED_VARIANT(avx2, __attribute__((target("avx2"))), masks_avx2)
SETTLED_VARIANT(avx512, WIDE, masks_avx512)
#endif

typedef int (*Settled)(const uint8_t *p, size_t size);

static Settled settled_way(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return settled_avx512;
    if (__builtin_cpu_supports("avx2")) return settled_avx2;
#endif
    return settled_plain;
}

/* The form `whatwg` of a settled or folded address: scheme and host in lower case, the rest as it is. */
static void write_whatwg(const uint8_t *p, size_t size, uint8_t *out) {
    size_t at = scheme_of(p, size);
    while (at < size && p[at] != '/') at++;
    for (size_t k = 0; k < at; k++) out[k] = is_upper(p[k]) ? p[k] | 32 : p[k];
    memcpy(out + at, p + at, size - at);
}

/* Lower case, without the controls and spaces around the text and without tabs and line breaks in it. */
static size_t tidied(const uint8_t *p, size_t size, uint8_t *out) {
    size_t used = 0;
    while (size && p[size - 1] <= ' ') size--;
    while (size && *p <= ' ') p++, size--;
    for (size_t k = 0; k < size; k++)
        if (p[k] != '\t' && p[k] != '\r' && p[k] != '\n') out[used++] = is_upper(p[k]) ? p[k] | 32 : p[k];
    return used;
}

/* Bytes of `scheme:` where `//` follows it, in lower-case text. */
INLINE size_t any_scheme(const uint8_t *p, size_t size) {
    size_t at = scheme_of(p, size);
    if (at) return at - 2;
    if (!size || !(CLASSES[*p] & LETTER)) return 0;
    while (at < size && (CLASSES[p[at]] & LABEL || p[at] == '+' || p[at] == '.' || p[at] == '-')) at++;
    return at + 2 < size && p[at] == ':' && p[at + 1] == '/' && p[at + 2] == '/' ? at + 1 : 0;
}

/* An unclosed bracket in the authority, which ends at / ? or #. */
static int half_bracketed(const uint8_t *p, size_t size) {
    int open = 0, closed = 0;
    for (size_t k = 0; k < size && p[k] != '/' && p[k] != '?' && p[k] != '#'; k++) open |= p[k] == '[', closed |= p[k] == ']';
    return open != closed;
}

/* The form `tx` of a value that is ASCII: into `out`, which has room for `size` bytes. Its length, 0 for none; -1 for
 * values that are not ASCII, whose lower case is the definition's own. */
INLINE int64_t write_tx(const uint8_t *p, size_t size, uint8_t *restrict out) {
    uint8_t high = 0, low = 0, bracket = 0;
    for (size_t k = 0; k < size; k++) {
        const uint8_t c = p[k];
        high |= c, low |= (uint8_t)(c < 0x21), bracket |= (uint8_t)((c == '[') | (c == ']'));
        out[k] = (uint8_t)(c + (is_upper(c) << 5));
    }
    if (high & 0x80) return -1;
    if (low) size = tidied(p, size, out);
    size_t start = any_scheme(out, size);
    if (size - start >= 2 && out[start] == '/' && out[start + 1] == '/') {
        start += 2;
        if (bracket && half_bracketed(out + start, size - start)) return 0;
    }
    memmove(out, out + start, size -= start);
    if (!size) return 0;
    const uint8_t *hash = memchr(out, '#', size);
    size_t body = hash ? (size_t)(hash - out) : size;
    const uint8_t *mark = memchr(out, '?', body);
    const size_t fragment = hash && body + 1 < size ? size - body : 0, rest = body;
    if (mark && (size_t)(mark - out) + 1 == body) body--; /* an empty query */
    if (fragment && body < rest) memmove(out + body, out + rest, fragment);
    return (int64_t)(body + fragment);
}

#ifndef VETSET_FUZZ
int vetset_column_holds(const int64_t *offsets, size_t offsets_count, size_t data_bytes, size_t first, size_t count);

/* settled(offsets, data, first, out): out[i] is 1 where value i is in normal form, 2 where only the case of its scheme
 * and host is not. */
static PyObject *settled(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer offsets, data, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*nw*", &offsets, &data, &first, &out)) return NULL;
    const size_t count = (size_t)out.len;
    const int sound = first >= 0 &&
                      vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        const int64_t *at = (const int64_t *)offsets.buf + first;
        const Settled way = settled_way();
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)out.buf)[i] = (uint8_t)way((const uint8_t *)data.buf + at[i], (size_t)(at[i + 1] - at[i]));
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    Py_RETURN_NONE;
}

typedef struct { const int64_t *at; const uint8_t *data; size_t count; int64_t *ends; uint8_t *out, *marks; } Making;

/* marks: which values to make, and what became of each (NONE, MADE, LEFT). Bytes used. */
INLINE size_t make_tx(const Making *m) {
    size_t used = 0;
    for (size_t i = 0; i < m->count; i++) {
        m->ends[i] = (int64_t)used;
        const int64_t made = m->marks[i] ? write_tx(m->data + m->at[i], (size_t)(m->at[i + 1] - m->at[i]), m->out + used) : 0;
        m->marks[i] = made < 0 ? LEFT : made ? MADE : NONE;
        used += made > 0 ? (size_t)made : 0;
    }
    return used;
}

static size_t make_tx_plain(const Making *m) { return make_tx(m); }
#if defined(__x86_64__)
__attribute__((target("avx2"))) static size_t make_tx_avx2(const Making *m) { return make_tx(m); }
#endif

/* marks: what `settled` says of each value; those of the language are made. Bytes used. */
static size_t make_whatwg(const Making *m) {
    size_t used = 0;
    for (size_t i = 0; i < m->count; i++) {
        m->ends[i] = (int64_t)used;
        const size_t size = (size_t)(m->at[i + 1] - m->at[i]);
        if (m->marks[i] == SETTLED) memcpy(m->out + used, m->data + m->at[i], size);
        if (m->marks[i] == FOLDED) write_whatwg(m->data + m->at[i], size, m->out + used);
        used += m->marks[i] ? size : 0;
    }
    return used;
}

/* (offsets, data, first, marks, new_offsets, new_data) -> bytes used. new_offsets holds one more than there are values,
 * new_data as many bytes as the values. */
static PyObject *forms(PyObject *args, size_t (*make)(const Making *)) {
    Py_buffer offsets, data, marks, to, out;
    Py_ssize_t first;
    if (!PyArg_ParseTuple(args, "y*y*nw*w*w*", &offsets, &data, &first, &marks, &to, &out)) return NULL;
    const size_t count = (size_t)marks.len;
    int sound = first >= 0 && (size_t)to.len == 8 * (count + 1) &&
                vetset_column_holds(offsets.buf, (size_t)offsets.len / 8, (size_t)data.len, (size_t)first, count);
    const int64_t *at = (const int64_t *)offsets.buf + (sound ? first : 0);
    sound = sound && at[count] - at[0] <= out.len;
    size_t used = 0;
    if (sound) {
        Py_BEGIN_ALLOW_THREADS
        used = make(&(Making){at, data.buf, count, to.buf, out.buf, marks.buf});
        ((int64_t *)to.buf)[count] = (int64_t)used;
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets), PyBuffer_Release(&data), PyBuffer_Release(&marks), PyBuffer_Release(&to), PyBuffer_Release(&out);
    if (!sound) return PyErr_Format(PyExc_ValueError, "the column's buffers disagree");
    return PyLong_FromSize_t(used);
}

static PyObject *tx(PyObject *module, PyObject *args) {
    (void)module;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return forms(args, make_tx_avx2);
#endif
    return forms(args, make_tx_plain);
}

static PyObject *whatwg(PyObject *module, PyObject *args) { return (void)module, forms(args, make_whatwg); }

PyMethodDef url_methods[] = {
    {"settled", settled, METH_VARARGS, "settled(offsets, data, first, out)."},
    {"tx", tx, METH_VARARGS, "tx(offsets, data, first, marks, new_offsets, new_data) -> bytes used."},
    {"whatwg", whatwg, METH_VARARGS, "whatwg(offsets, data, first, marks, new_offsets, new_data) -> bytes used."},
    {NULL, NULL, 0, NULL},
};
#endif
