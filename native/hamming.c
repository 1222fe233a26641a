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
 * More is known (Qin, Xiao, "Pigeonring: a principle for faster thresholded similarity search", 2018): going round the
 * bands there is a band i from which on every run stays under its sum of (r + 1), the first alone and with the next one
 * too. So beside the number of a key stand as many bits of its next band as there is room for, and a key is looked at
 * only if these differ from the query's in at most r_i + r_next + 1 less what the band itself differs in.
 *
 * The keys stay where the list has them: first 8 bytes as numbers (heads), and the other 24 (tails). An index is one
 * buffer beside them (see the offsets below): header, order of bits, bands, and for each band its blocks and its entries
 * by value. A block tells of 8 values where their entries start, and of each how many there are in 8 bits, so that a
 * table is small enough to stay near the processor; values with 255 entries or more make their block crowded: then the
 * entries of all its values are taken. Nothing read from an index is believed: a start or number out of bounds ends the
 * search with an error.
 */
#include "native.h"
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    KEY_BYTES = 32, HEAD_BYTES = 8, TAIL_BYTES = 24, KEY_BITS = 256, MOST_BANDS = 32, MOST_BITS = 28, MOST_RADIUS = 2,
    LOW_BITS = 3, VALUES = 1 << LOW_BITS, BLOCK_BYTES = 12, CROWD = 255,
    LEAST_WIDTH = 4, MOST_WIDTH = 8,
    AT_COUNT = 8, AT_BANDS = 16, AT_ORDER = 64, AT_BAND = AT_ORDER + KEY_BITS, AT_TABLES = AT_BAND + MOST_BANDS * 32,
};
static const char MAGIC[8] = "vsnear4";
static const uint32_t CROWDED = 1u << 31; /* set in the start of a block */

enum { OK = 1, DAMAGED = 0, NO_MEMORY = -1, TOO_MANY = 2 };

typedef struct { const uint8_t *heads, *tails; size_t count; } Keys; /* (count) native u64, (count, 24) bytes */
typedef struct { uint32_t shift, bits, radius, width; uint64_t blocks, entries; } Band; /* width and places in bytes */

typedef struct {
    const uint8_t *data;
    const uint8_t *order; /* which bit of a key stands at each place, bit 0 the lowest of its last byte */
    const Band *band;
    uint32_t bands;
    uint64_t count;
    int radius;       /* the greatest that the bands are exact for; -1 without bands */
    unsigned id_bits; /* of an entry, for the number of its key; the rest are of its next band */
} Index;

static uint64_t word_at(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

static uint32_t number_at(const uint8_t *at) {
    uint32_t number;
    memcpy(&number, at, 4);
    return number;
}

/* --- an index, checked ------------------------------------------------------------------------------------------------ */

/* Whether a band lies behind the one before and its tables inside the buffer. */
static int sound(const Band *band, uint32_t shift, uint64_t count, size_t bytes) {
    if (band->bits < LOW_BITS || band->bits > MOST_BITS || band->radius > MOST_RADIUS) return 0;
    if (band->width < LEAST_WIDTH || band->width > MOST_WIDTH) return 0;
    if (band->shift < shift || band->shift > KEY_BITS - band->bits) return 0;
    const uint64_t blocks = (((uint64_t)1 << (band->bits - LOW_BITS)) + 1) * BLOCK_BYTES, entries = count * band->width + 8; /* read 8 at a time */
    if (band->blocks < AT_TABLES || band->entries < AT_TABLES) return 0;
    return band->blocks <= bytes && bytes - band->blocks >= blocks && band->entries <= bytes && bytes - band->entries >= entries;
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
    if (index->count >= CROWDED || index->bands > MOST_BANDS || !permutes(index->order)) return 0;
    for (uint32_t b = 0, shift = 0; b < index->bands; b++) {
        const Band *band = index->band + b;
        if (!sound(band, shift, index->count, bytes)) return 0;
        shift = band->shift + band->bits;
        index->radius += 1 + (int)band->radius;
    }
    while (index->count >> index->id_bits) index->id_bits++;
    return 1;
}

/* Which bits of the next band's value an entry of this band has room for, behind the number of its key. */
static uint64_t told(const Index *index, uint32_t b) {
    const unsigned room = 8 * index->band[b].width - index->id_bits;
    const unsigned next = index->band[(b + 1) % index->bands].bits;
    return ((uint64_t)1 << (room < next ? room : next)) - 1;
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

/* Entries by value; `ends` becomes where those of each value end. */
static void sort(uint32_t *ends, uint8_t *entries, const Index *index, uint32_t b, const uint32_t *values,
                 const uint32_t *next) {
    const uint64_t mask = told(index, b);
    const size_t every = (size_t)1 << index->band[b].bits, width = index->band[b].width;
    memset(ends, 0, every * 4);
    for (size_t i = 0; i < index->count; i++) ends[values[i]]++;
    uint32_t start = 0;
    for (size_t v = 0; v < every; v++) {
        const uint32_t own = ends[v];
        ends[v] = start, start += own;
    }
    for (size_t i = 0; i < index->count; i++) {
        const uint64_t entry = (next[i] & mask) << index->id_bits | i;
        for (size_t byte = 0; byte < width; byte++) entries[width * ends[values[i]] + byte] = (uint8_t)(entry >> 8 * byte);
        ends[values[i]]++;
    }
}

static void pack(uint8_t *blocks, const uint32_t *ends, size_t every) {
    uint32_t start = 0;
    for (size_t first = 0; first < every; first += VALUES, blocks += BLOCK_BYTES) {
        uint32_t block = start;
        uint64_t counts = 0;
        for (unsigned v = 0; v < VALUES; v++) {
            const uint32_t own = ends[first + v] - start;
            start = ends[first + v];
            if (own >= CROWD) block |= CROWDED;
            else counts |= (uint64_t)own << 8 * v;
        }
        memcpy(blocks, &block, 4), memcpy(blocks + 4, &counts, 8);
    }
    memcpy(blocks, &start, 4), memset(blocks + 4, 0, 8); /* where the last block ends */
}

static void evaluate(const Index *index, uint32_t b, const Keys *keys, Parts *parts, uint32_t *values) {
    prepare(index, index->band + b, parts);
    for (size_t i = 0; i < keys->count; i++) values[i] = value_in(parts, keys, i);
}

/* Fills the tables of an index whose header, order and bands stand in the buffer already. */
int vetset_hamming_build(uint8_t *data, size_t bytes, const uint8_t *heads, const uint8_t *tails, size_t count) {
    Index index;
    const Keys keys = {heads, tails, count};
    if (!opened(&index, data, bytes) || index.count != count) return DAMAGED;
    if (!index.bands) return OK;
    size_t most = 0;
    for (uint32_t b = 0; b < index.bands; b++) most |= (size_t)1 << index.band[b].bits;
    uint32_t *values = malloc((count + 1) * sizeof *values), *next = malloc((count + 1) * sizeof *next);
    uint32_t *ends = malloc(most * sizeof *ends);
    Parts *parts = malloc(sizeof *parts);
    const int done = values && next && ends && parts ? OK : NO_MEMORY;
    if (done == OK) evaluate(&index, 0, &keys, parts, next);
    for (uint32_t b = 0; done == OK && b < index.bands; b++) {
        uint32_t *own = next;
        next = values, values = own;
        evaluate(&index, (b + 1) % index.bands, &keys, parts, next);
        sort(ends, data + index.band[b].entries, &index, b, values, next);
        pack(data + index.band[b].blocks, ends, (size_t)1 << index.band[b].bits);
    }
    free(values), free(next), free(ends), free(parts);
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

/* An entry costs about as much as a key in a row, and more if its key must be looked at: so many of all are worth it. */
#ifndef PER_MILLE_BY_BANDS
#define PER_MILLE_BY_BANDS 250
#endif

#define INLINE static inline __attribute__((always_inline))

typedef struct { uint64_t head, tail[3]; uint32_t values[MOST_BANDS]; } Query;
typedef struct { uint32_t from, to; int32_t room; } Span; /* entries, and in how much their next band may differ */

enum { HIGH_BITS = MOST_BITS - LOW_BITS, MOST_FLIPS = 1 + HIGH_BITS + HIGH_BITS * (HIGH_BITS - 1) / 2 };

/* What to turn over in the number of a block, by ascending count of bits; ends[r]: how many turn over r bits or fewer. */
typedef struct { uint32_t of[MOST_FLIPS], ends[MOST_RADIUS + 1]; } Flips;

typedef struct {
    const Index *index;
    const Keys *keys;
    const Query *queries;
    size_t count;
    int radius;
    const Flips *flips; /* by band */
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

static void turn(Flips *flips, uint32_t bits) {
    uint32_t count = 0;
    flips->of[count++] = 0;
    flips->ends[0] = count;
    for (uint32_t i = 0; i < bits; i++) flips->of[count++] = 1u << i;
    flips->ends[1] = count;
    for (uint32_t i = 1; i < bits; i++)
        for (uint32_t j = 0; j < i; j++) flips->of[count++] = 1u << i ^ 1u << j;
    flips->ends[2] = count;
}

/* The same for the values in a block. */
static const uint32_t LOWS[] = {0, 1, 2, 4, 3, 5, 6}, LOW_ENDS[MOST_RADIUS + 1] = {1, 4, 7};
enum { MOST_SPANS = 7 * MOST_FLIPS };

INLINE void touch_band(const Index *index, uint32_t b, const Query *query, const Flips *flips) {
    const Band *band = index->band + b;
    const uint8_t *blocks = index->data + band->blocks;
    const uint32_t high = query->values[b] >> LOW_BITS, count = flips->ends[band->radius];
    for (uint32_t k = 0; k < count; k++) __builtin_prefetch(blocks + (size_t)(high ^ flips->of[k]) * BLOCK_BYTES);
}

/* The sum of 8 numbers of 8 bits. */
INLINE uint32_t sum_of(uint64_t counts) {
    const uint64_t even = 0x00ff00ff00ff00ffu;
    return (uint32_t)(((counts & even) + (counts >> 8 & even)) * 0x0001000100010001u >> 48);
}

/* All values of a band within its radius, as spans of its entries. Answers how many, or -1 for a damaged index. */
INLINE int64_t spans_of(const Index *index, uint32_t b, const Query *query, const Flips *flips, Span *spans,
                        uint32_t *used) {
    const Band *band = index->band + b;
    const uint8_t *blocks = index->data + band->blocks;
    const uint32_t high = query->values[b] >> LOW_BITS, low = query->values[b] % VALUES;
    const int32_t room = (int32_t)(band->radius + index->band[(b + 1) % index->bands].radius + 1);
    uint64_t total = 0;
    uint32_t at = *used, wrong = 0;
    for (uint32_t r = 0, k = 0; r <= band->radius; r++) {
        const uint32_t lows = LOW_ENDS[band->radius - r];
        for (; k < flips->ends[r]; k++) {
            const uint8_t *block = blocks + (size_t)(high ^ flips->of[k]) * BLOCK_BYTES;
            const uint32_t start = number_at(block);
            if (__builtin_expect(start & CROWDED, 0)) {
                const uint32_t from = start & ~CROWDED, to = number_at(block + BLOCK_BYTES) & ~CROWDED;
                if (from > to || to > index->count) return -1;
                spans[at++] = (Span){from, to, room};
                total += to - from;
                continue;
            }
            const uint64_t counts = word_at(block + 4);
            for (uint32_t n = 0; n < lows; n++) {
                const uint32_t value = 8 * (low ^ LOWS[n]), own = (uint32_t)(counts >> value & 255);
                const uint32_t from = start + sum_of(counts & (((uint64_t)1 << value) - 1));
                spans[at] = (Span){from, from + own, room - (int32_t)(r + (n > 0) + (n > 3))};
                at += own != 0;
                total += own;
                wrong |= from + own > index->count;
            }
        }
    }
    *used = at;
    return wrong ? -1 : (int64_t)total;
}

enum { HELD = 2048 };

/* Numbers of keys that are worth a look. */
typedef struct { size_t used; uint32_t ids[HELD]; } Held;

INLINE int compare(Search *search, Held *held, size_t q) {
    enum { AHEAD = 16 };
    const Keys *keys = search->keys;
    const uint32_t *ids = held->ids;
    for (size_t k = 0; k < held->used && k < AHEAD; k++) __builtin_prefetch(keys->tails + (size_t)ids[k] * TAIL_BYTES);
    for (size_t k = 0; k < held->used; k++) {
        if (k + AHEAD < held->used) __builtin_prefetch(keys->tails + (size_t)ids[k + AHEAD] * TAIL_BYTES);
        const int distance = distance_to(keys, ids[k], search->queries + q, search->radius);
        if (distance <= search->radius && note(&search->found, q, ids[k], distance) != OK) return NO_MEMORY;
    }
    held->used = 0;
    return OK;
}

INLINE void touch_span(const uint8_t *entries, size_t width, Span span) {
    const uint8_t *at = entries + width * span.from, *end = entries + width * span.to;
    for (int line = 0; line < 16 && at < end; line++, at += 64) __builtin_prefetch(at);
}

/* Holds the keys of some spans of a band whose next band does not tell that they are strangers. */
INLINE int sift(Search *search, uint32_t b, const Span *spans, size_t count, size_t q, Held *held) {
    enum { AHEAD = 16 };
    const Index *index = search->index;
    const size_t width = index->band[b].width;
    const uint8_t *entries = index->data + index->band[b].entries;
    const unsigned id_bits = index->id_bits;
    const uint64_t ids = ((uint64_t)1 << id_bits) - 1, mask = told(index, b) << id_bits;
    const uint64_t asked = (uint64_t)search->queries[q].values[(b + 1) % index->bands] << id_bits;
    for (size_t k = 0; k < count && k < AHEAD; k++) touch_span(entries, width, spans[k]);
    for (size_t k = 0; k < count; k++) {
        if (k + AHEAD < count) touch_span(entries, width, spans[k + AHEAD]);
        for (uint32_t i = spans[k].from; i < spans[k].to; i++) {
            const uint64_t entry = word_at(entries + width * i);
            if (__builtin_popcountll((entry ^ asked) & mask) > spans[k].room) continue;
            if ((entry & ids) >= index->count) return DAMAGED;
            held->ids[held->used++] = (uint32_t)(entry & ids);
            if (held->used == HELD && compare(search, held, q) != OK) return NO_MEMORY;
        }
    }
    return OK;
}

/* One query by the bands; TOO_MANY where comparing all keys is cheaper. */
INLINE int by_bands(Search *search, size_t q, uint64_t most) {
    const Index *index = search->index;
    const Query *query = search->queries + q;
    Span *spans = search->spans;
    uint32_t used = 0, ends[MOST_BANDS + 1] = {0};
    uint64_t total = 0;
    for (uint32_t b = 0; b < index->bands; b++) {
        if (b + 1 < index->bands) touch_band(index, b + 1, query, search->flips + b + 1);
        const int64_t more = spans_of(index, b, query, search->flips + b, spans, &used);
        if (more < 0) return DAMAGED;
        total += (uint64_t)more;
        ends[b + 1] = used;
        if (total > most) return TOO_MANY;
    }
    if (q + 1 < search->count) touch_band(index, 0, query + 1, search->flips);
    Held held;
    held.used = 0;
    for (uint32_t b = 0; b < index->bands; b++) {
        const int done = sift(search, b, spans + ends[b], ends[b + 1] - ends[b], q, &held);
        if (done != OK) return done;
    }
    return compare(search, &held, q);
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
    const uint64_t most = index->count * PER_MILLE_BY_BANDS / 1000;
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
    search.spans = malloc((size_t)MOST_BANDS * MOST_SPANS * sizeof *search.spans);
    Flips *flips = malloc(MOST_BANDS * sizeof *flips);
    search.flips = flips;
    int done = NO_MEMORY;
    if (queries && search.numbers && search.spans && flips) {
        for (uint32_t b = 0; b < index.bands; b++) turn(flips + b, index.band[b].bits - LOW_BITS);
        for (size_t q = 0; q < asked; q++) ask(&index, raw + q * KEY_BYTES, queries + q);
        done = dispatched(&search);
    }
    free(queries), free(search.numbers), free(search.spans), free(flips);
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
