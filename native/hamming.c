/* Every key within a Hamming radius of a query, by a multi-index that misses none (kernels/hamming.py defines it and
 * plans the bands).
 *
 * The bits of all keys are put into an order in which bits that go together lie apart, and cut into bands. If a key lies
 * within R of a query, some band i differs in at most r_i bits, provided that the sum of (r_i + 1) over the bands is
 * greater than R (Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014, with
 * radii that differ). So each band has a table from its value to the keys that bear it, and a query looks at all values
 * within r_i. Where that would be too many keys, all keys are compared instead.
 *
 * An index is one buffer (see the offsets in HEADER_*): header, order of bits, bands, keys in that order, and for each
 * band the starts of its values and the numbers of its keys. Nothing read from it is believed: a start or number out of
 * bounds ends the search with an error.
 */
#include "native.h"
#include <stdlib.h>

enum { KEY_BYTES = 32, WORDS = 4, KEY_BITS = 256, MOST_BANDS = 32, MOST_BITS = 26, HELD = 2048 };
static const char MAGIC[8] = "vsnear1";

typedef struct { uint32_t shift, bits, radius, unused; uint64_t starts, ids; } Band; /* offsets in bytes */

typedef struct {
    const uint8_t *data;
    size_t bytes;
    uint64_t count;
    uint32_t bands;
    const uint8_t *order;
    const Band *band;
    const uint64_t *keys;
} Index;

enum { AT_COUNT = 8, AT_BANDS = 16, AT_ORDER = 64, AT_BAND = AT_ORDER + KEY_BITS, AT_KEYS = AT_BAND + MOST_BANDS * 32 };

static int opened(Index *index, const uint8_t *data, size_t bytes) {
    if (bytes < AT_KEYS || memcmp(data, MAGIC, 8) || (uintptr_t)data % 8) return 0;
    index->data = data, index->bytes = bytes;
    memcpy(&index->count, data + AT_COUNT, 8);
    memcpy(&index->bands, data + AT_BANDS, 4);
    index->order = data + AT_ORDER;
    index->band = (const Band *)(data + AT_BAND);
    index->keys = (const uint64_t *)(data + AT_KEYS);
    if (index->count > UINT32_MAX - 1 || index->bands > MOST_BANDS) return 0;
    const uint64_t after = AT_KEYS + index->count * KEY_BYTES;
    if (after > bytes) return 0;
    for (uint32_t b = 0; b < index->bands; b++) {
        const Band *band = index->band + b;
        if (!band->bits || band->bits > MOST_BITS || band->shift + band->bits > KEY_BITS || band->radius > 2) return 0;
        const uint64_t starts = (((uint64_t)1 << band->bits) + 1) * 4, ids = index->count * 4;
        if (band->starts % 4 || band->ids % 4 || band->starts < after || band->ids < after) return 0;
        if (band->starts > bytes || bytes - band->starts < starts || band->ids > bytes || bytes - band->ids < ids) return 0;
    }
    return 1;
}

/* A key's bits in the index's order: bit k of the result is bit order[k] of the key, bit 0 the lowest of its last byte. */
static void ordered(const uint8_t *order, const uint8_t *key, uint64_t out[WORDS]) {
    uint64_t words[WORDS];
    for (int w = 0; w < WORDS; w++) {
        uint64_t word = 0;
        for (int byte = 0; byte < 8; byte++) word = word << 8 | key[KEY_BYTES - 8 * (w + 1) + byte];
        words[w] = word;
    }
    for (int w = 0; w < WORDS; w++) {
        uint64_t word = 0;
        for (int bit = 0; bit < 64; bit++) {
            const unsigned from = order[64 * w + bit];
            word |= (words[from >> 6] >> (from & 63) & 1) << bit;
        }
        out[w] = word;
    }
}

static inline uint32_t value_of(const uint64_t key[WORDS], const Band *band) {
    const uint32_t word = band->shift >> 6, at = band->shift & 63;
    uint64_t value = key[word] >> at;
    if (at + band->bits > 64) value |= key[word + 1] << (64 - at);
    return (uint32_t)(value & (((uint64_t)1 << band->bits) - 1));
}

/* --- building ----------------------------------------------------------------------------------------------------- */

/* Fills keys and tables of an index whose header, order and bands stand in the buffer already. */
int vetset_hamming_build(uint8_t *data, size_t bytes, const uint8_t *keys, size_t count) {
    Index index;
    if (!opened(&index, data, bytes) || index.count != count) return 0;
    uint64_t *own = (uint64_t *)(data + AT_KEYS);
    for (size_t i = 0; i < count; i++) ordered(index.order, keys + i * KEY_BYTES, own + i * WORDS);
    for (uint32_t b = 0; b < index.bands; b++) {
        const Band *band = index.band + b;
        uint32_t *starts = (uint32_t *)(data + band->starts), *ids = (uint32_t *)(data + band->ids);
        const size_t values = (size_t)1 << band->bits;
        memset(starts, 0, (values + 1) * 4);
        for (size_t i = 0; i < count; i++) starts[value_of(own + i * WORDS, band) + 1]++;
        for (size_t v = 0; v < values; v++) starts[v + 1] += starts[v];
        /* Each start moves on to its end while its ids are placed, and all are moved back by one place at the end. */
        for (size_t i = 0; i < count; i++) ids[starts[value_of(own + i * WORDS, band)]++] = (uint32_t)i;
        memmove(starts + 1, starts, values * 4);
        starts[0] = 0;
    }
    return 1;
}

/* --- searching ---------------------------------------------------------------------------------------------------- */

typedef struct { int64_t *triples; size_t used, room; } Found;

static int note(Found *found, int64_t query, int64_t position, int64_t distance) {
    if (found->used == found->room) {
        const size_t room = found->room ? 2 * found->room : 256;
        int64_t *more = realloc(found->triples, room * 3 * sizeof *more);
        if (!more) return 0;
        found->triples = more, found->room = room;
    }
    int64_t *triple = found->triples + 3 * found->used++;
    triple[0] = query, triple[1] = position, triple[2] = distance;
    return 1;
}

static int by_query(const void *one, const void *other) {
    const int64_t *a = one, *b = other;
    for (int k = 0; k < 2; k++) if (a[k] != b[k]) return a[k] < b[k] ? -1 : 1;
    return 0;
}

#define INLINE static inline __attribute__((always_inline))

/* Compares one key; half of it tells most strangers. */
INLINE int distance_of(const uint64_t *key, const uint64_t *query, int radius) {
    const int half = __builtin_popcountll(key[0] ^ query[0]) + __builtin_popcountll(key[1] ^ query[1]);
    if (half > radius) return KEY_BITS + 1;
    return half + __builtin_popcountll(key[2] ^ query[2]) + __builtin_popcountll(key[3] ^ query[3]);
}

enum { OK = 1, DAMAGED = 0, NO_MEMORY = -1 };

typedef struct { uint32_t from, to; } Span;

/* All values of a band within its radius, as spans of its ids. Answers the number of keys, or -1 for a damaged index. */
INLINE int64_t spans_of(const Index *index, const Band *band, uint32_t value, Span *spans, uint32_t *used) {
    const uint32_t *starts = (const uint32_t *)(index->data + band->starts);
    uint32_t probes[1 + MOST_BITS + MOST_BITS * (MOST_BITS - 1) / 2], count = 0;
    probes[count++] = value;
    if (band->radius >= 1) for (uint32_t i = 0; i < band->bits; i++) probes[count++] = value ^ (1u << i);
    if (band->radius >= 2)
        for (uint32_t i = 1; i < band->bits; i++)
            for (uint32_t j = 0; j < i; j++) probes[count++] = value ^ (1u << i) ^ (1u << j);
    for (uint32_t k = 0; k < count; k++) __builtin_prefetch(starts + probes[k]);
    int64_t total = 0;
    uint32_t at = *used;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t from = starts[probes[k]], to = starts[probes[k] + 1];
        if (from > to || to > index->count) return -1;
        spans[at] = (Span){from, to};
        at += from != to;
        total += to - from;
    }
    *used = at;
    return total;
}

/* Compares `held` keys by number. */
INLINE int compare(const Index *index, const uint32_t *ids, size_t held, const uint64_t *query, int64_t number,
                   int radius, Found *found) {
    enum { AHEAD = 12 };
    for (size_t k = 0; k < held && k < AHEAD; k++) __builtin_prefetch(index->keys + (size_t)ids[k] * WORDS);
    for (size_t k = 0; k < held; k++) {
        if (k + AHEAD < held) __builtin_prefetch(index->keys + (size_t)ids[k + AHEAD] * WORDS);
        const int distance = distance_of(index->keys + (size_t)ids[k] * WORDS, query, radius);
        if (distance <= radius && !note(found, number, ids[k], distance)) return NO_MEMORY;
    }
    return OK;
}

/* One query by the bands. Answers 2 where comparing all keys is cheaper. `spans`: room for all probes of all bands. */
INLINE int by_bands(const Index *index, const uint64_t *query, int64_t number, int radius, uint64_t most, Span *spans,
                    Found *found) {
    uint32_t used = 0, ends[MOST_BANDS];
    uint64_t total = 0;
    for (uint32_t b = 0; b < index->bands; b++) {
        const int64_t more = spans_of(index, index->band + b, value_of(query, index->band + b), spans, &used);
        if (more < 0) return DAMAGED;
        total += (uint64_t)more;
        ends[b] = used;
        if (total > most) return 2;
    }
    uint32_t ids[HELD];
    size_t held = 0;
    for (uint32_t b = 0, k = 0; b < index->bands; b++) {
        const uint32_t *own = (const uint32_t *)(index->data + index->band[b].ids);
        for (uint32_t p = k; p < ends[b] && p < k + 24; p++) __builtin_prefetch(own + spans[p].from);
        for (; k < ends[b]; k++) {
            if (k + 24 < ends[b]) __builtin_prefetch(own + spans[k + 24].from);
            for (uint32_t i = spans[k].from; i < spans[k].to; i++) {
                if (own[i] >= index->count) return DAMAGED;
                ids[held++] = own[i];
                if (held == HELD) {
                    const int done = compare(index, ids, held, query, number, radius, found);
                    if (done != OK) return done;
                    held = 0;
                }
            }
        }
    }
    return compare(index, ids, held, query, number, radius, found);
}

/* All keys against the queries named, a block of keys at a time. */
INLINE int by_all(const Index *index, const uint64_t *queries, const size_t *numbers, size_t count, int radius,
                  Found *found) {
    enum { BLOCK = 1024 };
    for (uint64_t first = 0; count && first < index->count; first += BLOCK) {
        const uint64_t last = index->count - first < BLOCK ? index->count : first + BLOCK;
        for (size_t q = 0; q < count; q++) {
            const uint64_t *query = queries + numbers[q] * WORDS;
            for (uint64_t i = first; i < last; i++) {
                const int distance = distance_of(index->keys + i * WORDS, query, radius);
                if (distance <= radius && !note(found, (int64_t)numbers[q], (int64_t)i, distance)) return NO_MEMORY;
            }
        }
    }
    return OK;
}

INLINE int searched(const Index *index, const uint64_t *queries, size_t count, int radius, size_t *numbers, Span *spans,
                    Found *found) {
    /* A key by its number costs about as much as twelve in a row (bench/hamming.py). */
    const uint64_t most = index->bands ? index->count / 12 : 0;
    size_t rest = 0;
    for (size_t q = 0; q < count; q++) {
        const int done = index->bands ? by_bands(index, queries + q * WORDS, (int64_t)q, radius, most, spans, found) : 2;
        if (done == 2) numbers[rest++] = q;
        else if (done != OK) return done;
    }
    return by_all(index, queries, numbers, rest, radius, found);
}

static int searched_plain(const Index *i, const uint64_t *q, size_t n, int r, size_t *w, Span *s, Found *f) {
    return searched(i, q, n, r, w, s, f);
}
#if defined(__x86_64__)
__attribute__((target("popcnt,bmi2,avx2"))) static int searched_popcnt(const Index *i, const uint64_t *q, size_t n, int r,
                                                                        size_t *w, Span *s, Found *f) {
    return searched(i, q, n, r, w, s, f);
}
#endif

/* The keys within the radius of each query, in order of query and position, each once. */
static int within(const uint8_t *data, size_t bytes, const uint8_t *raw, size_t count, int radius, Found *found) {
    Index index;
    if (!opened(&index, data, bytes)) return DAMAGED;
    size_t probes = 1;
    for (uint32_t b = 0; b < index.bands; b++) probes += 1 + index.band[b].bits + index.band[b].bits * index.band[b].bits;
    uint64_t *queries = malloc((count + 1) * KEY_BYTES);
    size_t *numbers = malloc((count + 1) * sizeof *numbers);
    Span *spans = malloc(probes * sizeof *spans);
    int done = NO_MEMORY;
    if (queries && numbers && spans) {
        for (size_t q = 0; q < count; q++) ordered(index.order, raw + q * KEY_BYTES, queries + q * WORDS);
#if defined(__x86_64__)
        if (__builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx2"))
            done = searched_popcnt(&index, queries, count, radius, numbers, spans, found);
        else
#endif
            done = searched_plain(&index, queries, count, radius, numbers, spans, found);
    }
    free(queries), free(numbers), free(spans);
    if (done != OK) return done;
    qsort(found->triples, found->used, 3 * sizeof(int64_t), by_query);
    size_t kept = 0;
    for (size_t k = 0; k < found->used; k++)
        if (!kept || by_query(found->triples + 3 * (kept - 1), found->triples + 3 * k))
            memmove(found->triples + 3 * kept++, found->triples + 3 * k, 3 * sizeof(int64_t));
    found->used = kept;
    return OK;
}

int vetset_hamming_within(const uint8_t *data, size_t bytes, const uint8_t *queries, size_t count, int radius,
                          int64_t **triples, size_t *used) {
    Found found = {0};
    const int done = within(data, bytes, queries, count, radius, &found);
    *triples = found.triples, *used = found.used;
    return done;
}

#ifndef VETSET_FUZZ
static PyObject *hamming_build(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer index, keys;
    int done = 0;
    if (!PyArg_ParseTuple(args, "w*y*", &index, &keys)) return NULL;
    if (keys.len % KEY_BYTES == 0) {
        Py_BEGIN_ALLOW_THREADS
        done = vetset_hamming_build(index.buf, (size_t)index.len, keys.buf, (size_t)keys.len / KEY_BYTES);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&keys);
    if (!done) return PyErr_Format(PyExc_ValueError, "the index was not laid out for these keys");
    Py_RETURN_NONE;
}

static PyObject *hamming_within(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer index, queries;
    int radius, done = DAMAGED;
    int64_t *triples = NULL;
    size_t used = 0;
    if (!PyArg_ParseTuple(args, "y*y*i", &index, &queries, &radius)) return NULL;
    const int whole = queries.len % KEY_BYTES == 0 && radius >= 0 && radius <= KEY_BITS;
    if (whole) {
        Py_BEGIN_ALLOW_THREADS
        done = vetset_hamming_within(index.buf, (size_t)index.len, queries.buf, (size_t)queries.len / KEY_BYTES, radius,
                                     &triples, &used);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&queries);
    PyObject *answer = NULL;
    if (done == OK) answer = PyBytes_FromStringAndSize((const char *)triples, (Py_ssize_t)(used * 3 * sizeof *triples));
    else if (done == NO_MEMORY) PyErr_NoMemory();
    else PyErr_SetString(PyExc_ValueError, whole ? "the index is damaged" : "queries are 32 bytes, a radius 0 to 256");
    free(triples);
    return answer;
}

PyMethodDef hamming_methods[] = {
    {"hamming_build", hamming_build, METH_VARARGS, "hamming_build(index, keys): fills an index that was laid out."},
    {"hamming_within", hamming_within, METH_VARARGS, "hamming_within(index, queries, radius) -> int64 triples."},
    {NULL, NULL, 0, NULL},
};
#endif
