/* The members of a tar grouped into samples, as datasets/keys.py defines it: a sample is the members that share a key.
 *
 * Members of a sample stand side by side in nearly every tar, so a key is first compared with the one before; only then
 * is it looked up. The table's hash is SipHash-1-3 (Aumasson and Bernstein, 2012) under a key that the caller draws
 * anew each time: whoever makes a tar cannot make names that collide. Names are compared with the sample's few other
 * names, and from MOST_COMPARED on through a second table, so that no tar takes quadratic time.
 */
#include "native.h"
#include "tar.h"
#include <stdlib.h>

enum { MOST_COMPARED = 16, NOBODY = -1 };

/* --- hash --------------------------------------------------------------------------------------------------------- */

static inline uint64_t turned(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = turned(v[1], 13) ^ v[0], v[0] = turned(v[0], 32);
    v[2] += v[3], v[3] = turned(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = turned(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = turned(v[1], 17) ^ v[2], v[2] = turned(v[2], 32);
}

static uint64_t sip(const uint64_t key[2], const uint8_t *bytes, size_t size) {
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)size << 56, word;
    for (; size >= 8; size -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        v[3] ^= word, sip_round(v), v[0] ^= word;
    }
    for (size_t k = 0; k < size; k++) last |= (uint64_t)bytes[k] << (8 * k);
    v[3] ^= last, sip_round(v), v[0] ^= last;
    v[2] ^= 0xff;
    for (int k = 0; k < 3; k++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- table -------------------------------------------------------------------------------------------------------- */

typedef struct { const uint8_t *bytes; size_t size; } Text;
typedef struct { uint64_t hash; Text text; int64_t number; } Slot; /* no bytes: free */
typedef struct { Slot *slots; size_t room, used; } Table;          /* room: a power of two, at least twice what is used */

static int same(Text one, Text two) { return one.size == two.size && !memcmp(one.bytes, two.bytes, one.size); }

static Slot *place_of(const Table *table, uint64_t hash, Text text) {
    size_t at = (size_t)hash & (table->room - 1);
    while (table->slots[at].text.bytes && (table->slots[at].hash != hash || !same(table->slots[at].text, text)))
        at = (at + 1) & (table->room - 1);
    return table->slots + at;
}

static int make_room(Table *table) {
    if (table->room && table->used < table->room / 2) return 1;
    Table wider = {NULL, table->room ? 2 * table->room : 1024, table->used};
    if (wider.room > SIZE_MAX / sizeof(Slot) || !(wider.slots = calloc(wider.room, sizeof(Slot)))) return 0;
    for (size_t k = 0; k < table->room; k++)
        if (table->slots[k].text.bytes) *place_of(&wider, table->slots[k].hash, table->slots[k].text) = table->slots[k];
    free(table->slots);
    *table = wider;
    return 1;
}

/* The number of a text: the one it has, or `fresh`. NOBODY without memory. */
static int64_t number_of(Table *table, const uint64_t key[2], Text text, int64_t fresh) {
    if (!make_room(table)) return NOBODY;
    const uint64_t hash = sip(key, text.bytes, text.size);
    Slot *slot = place_of(table, hash, text);
    if (!slot->text.bytes) *slot = (Slot){hash, text, fresh}, table->used++;
    return slot->number;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

/* Where the last part of a name begins. */
static size_t last_part(Text name) {
    size_t at = name.size;
    while (at && name.bytes[at - 1] != '/') at--;
    return at;
}

/* A folder and a name up to its first dot; the whole name where that is nothing. */
static Text key_of(Text name) {
    const size_t last = last_part(name);
    const uint8_t *dot = memchr(name.bytes + last, '.', name.size - last);
    return dot && dot > name.bytes + last ? (Text){name.bytes, (size_t)(dot - name.bytes)} : name;
}

/* Whether what follows the last dot or slash is, in small letters, one of `endings`, each of which ends with a dot. */
static int ends_as_picture(Text name, Text endings) {
    size_t at = name.size;
    while (at && name.bytes[at - 1] != '.' && name.bytes[at - 1] != '/') at--;
    const size_t size = name.size - at;
    for (size_t first = 0; first < endings.size;) {
        const uint8_t *dot = memchr(endings.bytes + first, '.', endings.size - first);
        const size_t stop = dot ? (size_t)(dot - endings.bytes) : endings.size;
        size_t k = 0;
        if (stop - first == size)
            while (k < size) {
                const uint8_t c = name.bytes[at + k];
                if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != endings.bytes[first + k]) break;
                k++;
            }
        if (stop - first == size && k == size) return 1;
        first = stop + 1;
    }
    return 0;
}

/* --- samples ------------------------------------------------------------------------------------------------------ */

typedef struct { int64_t last, members; } Chain; /* a sample's latest member, and how many it has */

typedef struct {
    const Record *records;
    size_t count;
    Text names, endings;
    uint64_t key[2];
    int64_t *sample;  /* for each member; NOBODY where it belongs to none */
    uint8_t *picture; /* for each member: a file that is a picture by its name or its first bytes */
    int64_t *keys;    /* for each sample, two: where its key begins and ends in the names */
    int64_t samples, repeated;
} Grouping;

static Text name_of(const Grouping *g, int64_t member) {
    const Record *r = g->records + member;
    return (Text){g->names.bytes + r->name_at, (size_t)(r->name_end - r->name_at)};
}

/* Whether a sample has a member of the name already; NOBODY without memory. */
static int seen(Grouping *g, Table *table, const int64_t *before, const Chain *chain, int64_t member) {
    const Text name = name_of(g, member);
    if (chain->members < MOST_COMPARED) {
        for (int64_t other = chain->last; other != NOBODY; other = before[other])
            if (same(name, name_of(g, other))) return 1;
        return 0;
    }
    if (chain->members == MOST_COMPARED)
        for (int64_t other = chain->last; other != NOBODY; other = before[other])
            if (number_of(table, g->key, name_of(g, other), other) == NOBODY) return NOBODY;
    const int64_t first = number_of(table, g->key, name, member);
    return first == NOBODY ? NOBODY : first != member;
}

/* Whether every record has a kind, and its name in the names. */
static int records_hold(const Grouping *g) {
    for (size_t k = 0; k < g->count; k++) {
        const Record *r = g->records + k;
        if (r->kind < FILE_KIND || r->kind > DAMAGED || r->name_at < 0 || r->name_at > r->name_end ||
            (uint64_t)r->name_end > g->names.size)
            return 0;
    }
    return 1;
}

static int grouped(Grouping *g, Table *by_key, Table *by_name, int64_t *before, Chain *chains) {
    Text current = {NULL, 0};
    int64_t number = NOBODY;
    for (size_t k = 0; k < g->count; k++) g->sample[k] = NOBODY, g->picture[k] = 0;
    for (size_t k = 0; k < g->count && g->records[k].kind != DAMAGED; k++) {
        const Record *r = g->records + k;
        if (r->kind == GLOBAL_HEADER) continue;
        const Text name = name_of(g, (int64_t)k), own = key_of(name);
        if (number == NOBODY || !same(own, current)) {
            number = number_of(by_key, g->key, own, g->samples);
            if (number == NOBODY) return 0;
            current = own;
            if (number == g->samples) {
                g->keys[2 * number] = r->name_at, g->keys[2 * number + 1] = r->name_at + (int64_t)own.size;
                chains[number] = (Chain){NOBODY, 0};
                g->samples++;
            }
        }
        const int again = seen(g, by_name, before, chains + number, (int64_t)k);
        if (again == NOBODY) return 0;
        g->repeated += again;
        g->sample[k] = number;
        before[k] = chains[number].last;
        chains[number] = (Chain){(int64_t)k, chains[number].members + 1};
        g->picture[k] = (r->kind == FILE_KIND || r->kind == TRUNCATED) && (r->picture || ends_as_picture(name, g->endings));
    }
    return 1;
}

/* 1; 0 where the records disagree with the names; -1 without memory. Outputs have room for `count` members or samples. */
int vetset_sample_groups(Grouping *g) {
    if (!records_hold(g)) return 0;
    if (!g->names.bytes) g->names.bytes = (const uint8_t *)""; /* of a buffer without a byte */
    Table by_key = {0}, by_name = {0};
    int64_t *before = malloc((g->count + 1) * sizeof *before);
    Chain *chains = malloc((g->count + 1) * sizeof *chains);
    g->samples = g->repeated = 0;
    const int done = before && chains && grouped(g, &by_key, &by_name, before, chains) ? 1 : -1;
    free(before), free(chains), free(by_key.slots), free(by_name.slots);
    return done;
}

#ifndef VETSET_FUZZ
/* sample_groups(records, names, endings, key, sample, picture, keys) -> (samples, repeated names). */
static PyObject *sample_groups(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer records, names, endings, key, sample, picture, keys;
    if (!PyArg_ParseTuple(args, "y*y*y*y*w*w*w*", &records, &names, &endings, &key, &sample, &picture, &keys)) return NULL;
    const size_t count = (size_t)records.len / sizeof(Record);
    Grouping g = {.records = records.buf, .count = count, .names = {names.buf, (size_t)names.len},
                  .endings = {endings.buf, (size_t)endings.len}, .sample = sample.buf, .picture = picture.buf, .keys = keys.buf};
    const int sound = (size_t)records.len == count * sizeof(Record) && key.len == sizeof g.key &&
                      (size_t)sample.len == 8 * count && (size_t)picture.len == count && (size_t)keys.len == 16 * count &&
                      !(((uintptr_t)records.buf | (uintptr_t)sample.buf | (uintptr_t)keys.buf) % 8);
    int done = 0;
    if (sound) {
        memcpy(g.key, key.buf, sizeof g.key);
        Py_BEGIN_ALLOW_THREADS
        done = vetset_sample_groups(&g);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&records), PyBuffer_Release(&names), PyBuffer_Release(&endings), PyBuffer_Release(&key);
    PyBuffer_Release(&sample), PyBuffer_Release(&picture), PyBuffer_Release(&keys);
    if (done < 0) return PyErr_NoMemory();
    if (!done) return PyErr_Format(PyExc_ValueError, "the buffers of members disagree");
    return Py_BuildValue("LL", (long long)g.samples, (long long)g.repeated);
}

PyMethodDef samples_methods[] = {
    {"sample_groups", sample_groups, METH_VARARGS, "Members of a tar grouped into samples."},
    {NULL, NULL, 0, NULL},
};
#endif
