/* Every key within a Hamming radius of a query, by a multi-index that misses none (kernels/hamming.py defines it and
 * plans the bands).
 *
 * The bits of a key are put into an order in which bits that go together lie apart, and cut into bands. If a key lies
 * within R of a query, some band i differs in at most r_i bits, provided that the sum of (r_i + 1) over the bands is
 * greater than R (Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with multi-index hashing", 2014, with
 * radii that differ). So each band has a table from its value to the keys that bear it, and a query looks at all values
 * within r_i. Where that would be too many keys, or the radius is greater than the bands were planned for, all keys are
 * compared instead.
 *
 * The keys stay where the list has them: first 8 bytes as numbers (heads), and the other 24 (tails). An index is one
 * buffer beside them (see the offsets below): header, order of bits, bands, and for each band the starts of its values
 * and the numbers of its keys. Nothing read from it is believed: a start or number out of bounds ends the search with an
 * error.
 */
#include "native.h"
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    KEY_BYTES = 32, HEAD_BYTES = 8, TAIL_BYTES = 24, KEY_BITS = 256, MOST_BANDS = 32, MOST_BITS = 26, MOST_RADIUS = 2,
    AT_COUNT = 8, AT_BANDS = 16, AT_ORDER = 64, AT_BAND = AT_ORDER + KEY_BITS, AT_TABLES = AT_BAND + MOST_BANDS * 32,
};
static const char MAGIC[8] = "vsnear2";

enum { OK = 1, DAMAGED = 0, NO_MEMORY = -1, TOO_MANY = 2 };

typedef struct { const uint8_t *heads, *tails; size_t count; } Keys; /* (count) native u64, (count, 24) bytes */
typedef struct { uint32_t shift, bits, radius, unused; uint64_t starts, ids; } Band; /* places in bytes */

typedef struct {
    const uint8_t *data;
    const uint8_t *order; /* which bit of a key stands at each place, bit 0 the lowest of its last byte */
    const Band *band;
    uint32_t bands;
    uint64_t count;
    int radius; /* the greatest that the bands are exact for; -1 without bands */
} Index;

static uint64_t word_at(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* --- an index, checked ------------------------------------------------------------------------------------------------ */

/* Whether a band lies behind the one before and its tables inside the buffer. */
static int sound(const Band *band, uint32_t shift, uint64_t count, size_t bytes) {
    if (!band->bits || band->bits > MOST_BITS || band->radius > MOST_RADIUS || band->radius >= band->bits) return 0;
    if (band->shift < shift || band->shift > KEY_BITS - band->bits) return 0;
    const uint64_t starts = (((uint64_t)1 << band->bits) + 1) * 4, ids = count * 4;
    if (band->starts % 4 || band->ids % 4 || band->starts < AT_TABLES || band->ids < AT_TABLES) return 0;
    return band->starts <= bytes && bytes - band->starts >= starts && band->ids <= bytes && bytes - band->ids >= ids;
}

/* Each bit must stand in one place only, or the bands would not tell what they are planned to. */
static int permutes(const uint8_t *order) {
    uint8_t seen[KEY_BITS] = {0};
    for (int place = 0; place < KEY_BITS; place++)
        if (seen[order[place]]++) return 0;
    return 1;
}

static int opened(Index *index, const uint8_t *data, size_t bytes) {
    if (bytes < AT_TABLES || memcmp(data, MAGIC, 8) || (uintptr_t)data % 8) return 0;
    *index = (Index){.data = data, .order = data + AT_ORDER, .band = (const Band *)(data + AT_BAND), .radius = -1};
    memcpy(&index->count, data + AT_COUNT, 8);
    memcpy(&index->bands, data + AT_BANDS, 4);
    if (index->count > UINT32_MAX - 1 || index->bands > MOST_BANDS || !permutes(index->order)) return 0;
    for (uint32_t b = 0, shift = 0; b < index->bands; b++) {
        const Band *band = index->band + b;
        if (!sound(band, shift, index->count, bytes)) return 0;
        shift = band->shift + band->bits;
        index->radius += 1 + (int)band->radius;
    }
    return 1;
}

/* --- building --------------------------------------------------------------------------------------------------------- */

/* The part of a band's value that each value of each byte of a key gives. */
typedef struct { uint32_t of[KEY_BYTES][256]; } Parts;

static void prepare(const Index *index, const Band *band, Parts *parts) {
    memset(parts, 0, sizeof *parts);
    for (uint32_t k = 0; k < band->bits; k++) {
        const unsigned bit = index->order[band->shift + k];
        for (unsigned value = 0; value < 256; value++)
            parts->of[KEY_BYTES - 1 - bit / 8][value] |= (value >> bit % 8 & 1) << k;
    }
}

static uint32_t value_in(const Parts *parts, const Keys *keys, size_t i) {
    const uint64_t head = word_at(keys->heads + i * HEAD_BYTES);
    uint32_t value = 0;
    for (int byte = 0; byte < HEAD_BYTES; byte++) value |= parts->of[byte][head >> (56 - 8 * byte) & 255];
    const uint8_t *tail = keys->tails + i * TAIL_BYTES;
    for (int byte = 0; byte < TAIL_BYTES; byte++) value |= parts->of[HEAD_BYTES + byte][tail[byte]];
    return value;
}

static void fill(uint32_t *starts, uint32_t *ids, const uint32_t *values, size_t count, size_t every) {
    memset(starts, 0, (every + 1) * 4);
    for (size_t i = 0; i < count; i++) starts[values[i] + 1]++;
    for (size_t v = 0; v < every; v++) starts[v + 1] += starts[v];
    /* Each start moves on to its end while its ids are placed, and all are moved back by one place at the end. */
    for (size_t i = 0; i < count; i++) ids[starts[values[i]]++] = (uint32_t)i;
    memmove(starts + 1, starts, every * 4);
    starts[0] = 0;
}

/* Fills the tables of an index whose header, order and bands stand in the buffer already. */
int vetset_hamming_build(uint8_t *data, size_t bytes, const uint8_t *heads, const uint8_t *tails, size_t count) {
    Index index;
    const Keys keys = {heads, tails, count};
    if (!opened(&index, data, bytes) || index.count != count) return DAMAGED;
    uint32_t *values = malloc((count + 1) * sizeof *values);
    Parts *parts = malloc(sizeof *parts);
    const int done = values && parts ? OK : NO_MEMORY;
    for (uint32_t b = 0; done == OK && b < index.bands; b++) {
        const Band band = index.band[b]; /* what is written next may overlap the header's copy */
        prepare(&index, &band, parts);
        for (size_t i = 0; i < count; i++) values[i] = value_in(parts, &keys, i);
        fill((uint32_t *)(data + band.starts), (uint32_t *)(data + band.ids), values, count, (size_t)1 << band.bits);
    }
    free(values), free(parts);
    return done;
}

/* --- what is found ---------------------------------------------------------------------------------------------------- */

typedef struct { int64_t *triples; size_t used, room; } Found;

static int note(Found *found, size_t query, size_t position, int distance) {
    if (found->used == found->room) {
        const size_t room = found->room ? 2 * found->room : 256;
        int64_t *more = realloc(found->triples, room * 3 * sizeof *more);
        if (!more) return NO_MEMORY;
        found->triples = more, found->room = room;
    }
    int64_t *triple = found->triples + 3 * found->used++;
    triple[0] = (int64_t)query, triple[1] = (int64_t)position, triple[2] = distance;
    return OK;
}

static int by_query(const void *one, const void *other) {
    const int64_t *a = one, *b = other;
    for (int k = 0; k < 2; k++) if (a[k] != b[k]) return a[k] < b[k] ? -1 : 1;
    return 0;
}

/* In order of query and position, each once: a key is found by every band in which it is near. */
static void in_order(Found *found) {
    if (!found->used) return;
    qsort(found->triples, found->used, 3 * sizeof(int64_t), by_query);
    size_t kept = 1;
    for (size_t k = 1; k < found->used; k++)
        if (by_query(found->triples + 3 * (kept - 1), found->triples + 3 * k))
            memmove(found->triples + 3 * kept++, found->triples + 3 * k, 3 * sizeof(int64_t));
    found->used = kept;
}

/* --- searching -------------------------------------------------------------------------------------------------------- */

/* Comparing a key by its number costs about as much as twelve in a row (bench/hamming.py): so many keys are worth it. */
#ifndef PER_MILLE_BY_NUMBER
#define PER_MILLE_BY_NUMBER 80
#endif

#define INLINE static inline __attribute__((always_inline))

typedef struct { uint64_t head, tail[3]; uint32_t values[MOST_BANDS]; } Query;
typedef struct { uint32_t from, to; } Span;

typedef struct {
    const Index *index;
    const Keys *keys;
    const Query *queries;
    size_t count;
    int radius;
    size_t *numbers; /* of queries for which all keys are compared */
    Span *spans;     /* room for all values that one query looks at */
    Found found;
} Search;

static void ask(const Index *index, const uint8_t *raw, Query *query) {
    query->head = 0;
    for (int byte = 0; byte < HEAD_BYTES; byte++) query->head = query->head << 8 | raw[byte];
    for (int word = 0; word < 3; word++) query->tail[word] = word_at(raw + HEAD_BYTES + 8 * word);
    for (uint32_t b = 0; b < index->bands; b++) {
        const Band *band = index->band + b;
        uint32_t value = 0;
        for (uint32_t k = 0; k < band->bits; k++) {
            const unsigned bit = index->order[band->shift + k];
            value |= (uint32_t)(raw[KEY_BYTES - 1 - bit / 8] >> bit % 8 & 1) << k;
        }
        query->values[b] = value;
    }
}

/* Compares one key; half of its bits tell most strangers. Where 16 bytes of a tail cross a cache line is seldom. */
INLINE int distance_to(const Keys *keys, size_t i, const Query *query, int radius) {
    const uint8_t *tail = keys->tails + i * TAIL_BYTES;
    const int half = __builtin_popcountll(word_at(tail) ^ query->tail[0])
                   + __builtin_popcountll(word_at(tail + 8) ^ query->tail[1]);
    if (half > radius) return KEY_BITS + 1;
    return half + __builtin_popcountll(word_at(tail + 16) ^ query->tail[2])
         + __builtin_popcountll(word_at(keys->heads + i * HEAD_BYTES) ^ query->head);
}

/* The values within a band's radius of one value, in one order for all: as what to flip. */
INLINE uint32_t flips_of(const Band *band, uint32_t *flips) {
    uint32_t count = 0;
    flips[count++] = 0;
    if (band->radius >= 1) for (uint32_t i = 0; i < band->bits; i++) flips[count++] = 1u << i;
    if (band->radius >= 2)
        for (uint32_t i = 1; i < band->bits; i++)
            for (uint32_t j = 0; j < i; j++) flips[count++] = 1u << i ^ 1u << j;
    return count;
}

enum { MOST_FLIPS = 1 + MOST_BITS + MOST_BITS * (MOST_BITS - 1) / 2 };

/* All values of a band within its radius, as spans of its ids. Answers the number of keys, or -1 for a damaged index. */
INLINE int64_t spans_of(const Index *index, const Band *band, uint32_t value, Span *spans, uint32_t *used) {
    const uint32_t *starts = (const uint32_t *)(index->data + band->starts);
    uint32_t flips[MOST_FLIPS];
    const uint32_t count = flips_of(band, flips);
    for (uint32_t k = 0; k < count; k++) __builtin_prefetch(starts + (value ^ flips[k]));
    int64_t total = 0;
    uint32_t at = *used;
    for (uint32_t k = 0; k < count; k++) {
        const uint32_t from = starts[value ^ flips[k]], to = starts[(value ^ flips[k]) + 1];
        if (from > to || to > index->count) return -1;
        spans[at] = (Span){from, to};
        at += from != to;
        total += to - from;
    }
    *used = at;
    return total;
}

/* Compares keys by their numbers. */
INLINE int compare(Search *search, const uint32_t *ids, size_t held, size_t q) {
    enum { AHEAD = 16 };
    const Keys *keys = search->keys;
    const Query *query = search->queries + q;
    for (size_t k = 0; k < held && k < AHEAD; k++) __builtin_prefetch(keys->tails + (size_t)ids[k] * TAIL_BYTES);
    for (size_t k = 0; k < held; k++) {
        if (k + AHEAD < held) __builtin_prefetch(keys->tails + (size_t)ids[k + AHEAD] * TAIL_BYTES);
        const int distance = distance_to(keys, ids[k], query, search->radius);
        if (distance <= search->radius && note(&search->found, q, ids[k], distance) != OK) return NO_MEMORY;
    }
    return OK;
}

/* One query by the bands; TOO_MANY where comparing all keys is cheaper. */
INLINE int by_bands(Search *search, size_t q, uint64_t most) {
    enum { HELD = 2048, AHEAD = 24 };
    const Index *index = search->index;
    Span *spans = search->spans;
    uint32_t used = 0, ends[MOST_BANDS], ids[HELD];
    uint64_t total = 0;
    for (uint32_t b = 0; b < index->bands; b++) {
        const int64_t more = spans_of(index, index->band + b, search->queries[q].values[b], spans, &used);
        if (more < 0) return DAMAGED;
        total += (uint64_t)more;
        ends[b] = used;
        if (total > most) return TOO_MANY;
    }
    size_t held = 0;
    for (uint32_t b = 0, k = 0; b < index->bands; b++) {
        const uint32_t *own = (const uint32_t *)(index->data + index->band[b].ids);
        for (uint32_t p = k; p < ends[b] && p < k + AHEAD; p++) __builtin_prefetch(own + spans[p].from);
        for (; k < ends[b]; k++) {
            if (k + AHEAD < ends[b]) __builtin_prefetch(own + spans[k + AHEAD].from);
            for (uint32_t i = spans[k].from; i < spans[k].to; i++) {
                if (own[i] >= index->count) return DAMAGED;
                ids[held++] = own[i];
                if (held < HELD) continue;
                const int done = compare(search, ids, held, q);
                if (done != OK) return done;
                held = 0;
            }
        }
    }
    return compare(search, ids, held, q);
}

/* All keys against the queries named, a block of keys at a time. */
INLINE int by_all(Search *search, size_t count) {
    enum { BLOCK = 1024 };
    const Keys *keys = search->keys;
    for (size_t first = 0; count && first < keys->count; first += BLOCK) {
        const size_t last = keys->count - first < BLOCK ? keys->count : first + BLOCK;
        for (size_t n = 0; n < count; n++) {
            const size_t q = search->numbers[n];
            for (size_t i = first; i < last; i++) {
                const int distance = distance_to(keys, i, search->queries + q, search->radius);
                if (distance <= search->radius && note(&search->found, q, i, distance) != OK) return NO_MEMORY;
            }
        }
    }
    return OK;
}

INLINE int searched(Search *search) {
    const Index *index = search->index;
    const uint64_t most = index->count * PER_MILLE_BY_NUMBER / 1000;
    size_t rest = 0;
    for (size_t q = 0; q < search->count; q++) {
        const int done = search->radius <= index->radius ? by_bands(search, q, most) : TOO_MANY;
        if (done == TOO_MANY) search->numbers[rest++] = q;
        else if (done != OK) return done;
    }
    return by_all(search, rest);
}

static int searched_plain(Search *search) { return searched(search); }
#if defined(__x86_64__)
__attribute__((target("popcnt,bmi2,avx2"))) static int searched_popcnt(Search *search) { return searched(search); }
#endif

static int dispatched(Search *search) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("popcnt") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx2"))
        return searched_popcnt(search);
#endif
    return searched_plain(search);
}

/* The keys within the radius of each query, as triples (query, position, distance) that the caller frees. */
int vetset_hamming_within(const uint8_t *data, size_t bytes, const uint8_t *heads, const uint8_t *tails, size_t count,
                          const uint8_t *raw, size_t asked, int radius, int64_t **triples, size_t *used) {
    Index index;
    const Keys keys = {heads, tails, count};
    *triples = NULL, *used = 0;
    if (!opened(&index, data, bytes) || index.count != count) return DAMAGED;
    Query *queries = malloc((asked + 1) * sizeof *queries);
    Search search = {.index = &index, .keys = &keys, .queries = queries, .count = asked, .radius = radius};
    search.numbers = malloc((asked + 1) * sizeof *search.numbers);
    search.spans = malloc((size_t)MOST_BANDS * MOST_FLIPS * sizeof *search.spans);
    int done = NO_MEMORY;
    if (queries && search.numbers && search.spans) {
        for (size_t q = 0; q < asked; q++) ask(&index, raw + q * KEY_BYTES, queries + q);
        done = dispatched(&search);
    }
    free(queries), free(search.numbers), free(search.spans);
    if (done == OK) in_order(&search.found);
    *triples = search.found.triples, *used = search.found.used;
    return done;
}

#ifndef VETSET_FUZZ
/* Whether heads and tails are of the same number of keys. */
static int paired(const Py_buffer *heads, const Py_buffer *tails) {
    return heads->len % HEAD_BYTES == 0 && tails->len % TAIL_BYTES == 0
        && heads->len / HEAD_BYTES == tails->len / TAIL_BYTES;
}

static PyObject *hamming_build(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer index, heads, tails;
    int done = DAMAGED;
    if (!PyArg_ParseTuple(args, "w*y*y*", &index, &heads, &tails)) return NULL;
    if (paired(&heads, &tails)) {
        Py_BEGIN_ALLOW_THREADS
        done = vetset_hamming_build(index.buf, (size_t)index.len, heads.buf, tails.buf,
                                    (size_t)heads.len / HEAD_BYTES);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&heads);
    PyBuffer_Release(&tails);
    if (done == NO_MEMORY) return PyErr_NoMemory();
    if (done != OK) return PyErr_Format(PyExc_ValueError, "the index was not laid out for these keys");
    Py_RETURN_NONE;
}

static PyObject *hamming_within(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer index, heads, tails, queries;
    int radius, done = DAMAGED;
    int64_t *triples = NULL;
    size_t used = 0;
    if (!PyArg_ParseTuple(args, "y*y*y*y*i", &index, &heads, &tails, &queries, &radius)) return NULL;
    const int whole = queries.len % KEY_BYTES == 0 && radius >= 0 && radius <= KEY_BITS;
    if (whole && paired(&heads, &tails)) {
        Py_BEGIN_ALLOW_THREADS
        done = vetset_hamming_within(index.buf, (size_t)index.len, heads.buf, tails.buf,
                                     (size_t)heads.len / HEAD_BYTES, queries.buf, (size_t)queries.len / KEY_BYTES,
                                     radius, &triples, &used);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&index);
    PyBuffer_Release(&heads);
    PyBuffer_Release(&tails);
    PyBuffer_Release(&queries);
    PyObject *answer = NULL;
    if (done == OK) answer = PyBytes_FromStringAndSize((const char *)triples, (Py_ssize_t)(used * 3 * sizeof *triples));
    else if (done == NO_MEMORY) PyErr_NoMemory();
    else PyErr_SetString(PyExc_ValueError, whole ? "the index is damaged" : "queries are 32 bytes, a radius 0 to 256");
    free(triples);
    return answer;
}

PyMethodDef hamming_methods[] = {
    {"hamming_build", hamming_build, METH_VARARGS, "hamming_build(index, heads, tails): fills an index laid out."},
    {"hamming_within", hamming_within, METH_VARARGS, "hamming_within(index, heads, tails, queries, radius) -> triples."},
    {NULL, NULL, 0, NULL},
};
#endif
