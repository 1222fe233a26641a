/* Members with names of few letters, so that keys and names come again, and records with hostile places: the groups are
 * those of a comparison of all with all, and records that point beyond the names are refused.
 */
#include "driver.h"
#include "../samples.c"

enum { MOST = 128 };

static Text key_slowly(Text name) {
    size_t last = 0;
    for (size_t k = 0; k < name.size; k++) if (name.bytes[k] == '/') last = k + 1;
    for (size_t k = last; k < name.size; k++)
        if (name.bytes[k] == '.') return k > last ? (Text){name.bytes, k} : name;
    return name;
}

static void must_be_grouped(const Grouping *g) {
    int64_t samples = 0, repeated = 0;
    int ended = 0;
    for (size_t k = 0; k < g->count; k++) {
        const Record *r = g->records + k;
        ended |= r->kind == DAMAGED;
        if (ended || r->kind == GLOBAL_HEADER) { MUST(g->sample[k] == NOBODY && !g->picture[k]); continue; }
        const Text name = name_of(g, (int64_t)k), own = key_slowly(name);
        int64_t number = samples;
        int again = 0;
        for (size_t other = 0; other < k; other++) {
            if (g->sample[other] == NOBODY) continue;
            if (same(own, key_slowly(name_of(g, (int64_t)other)))) number = g->sample[other];
            again |= same(name, name_of(g, (int64_t)other));
        }
        MUST(g->sample[k] == number);
        repeated += again;
        if (number == samples) {
            const int64_t *key = g->keys + 2 * samples++;
            MUST(key[0] == r->name_at && (size_t)(key[1] - key[0]) == own.size);
        }
        const size_t n = name.size;
        const uint8_t *p = name.bytes;
        const int named = n >= 3 && (p[n - 3] == 'j' || p[n - 3] == 'J') && p[n - 2] == 'p' && p[n - 1] == 'g' &&
                          (n == 3 || p[n - 4] == '.' || p[n - 4] == '/');
        const int short_named = n && p[n - 1] == 'g' && (n == 1 || p[n - 2] == '.' || p[n - 2] == '/');
        MUST(g->picture[k] == ((r->kind == FILE_KIND || r->kind == TRUNCATED) && (r->picture || named || short_named)));
    }
    MUST(g->samples == samples && g->repeated == repeated);
}

static void try_input(const uint8_t *data, size_t size) {
    static const char letters[] = "aa./jpgJ";
    uint8_t names[4096];
    Record made[MOST];
    size_t count = 0, used = 0, at = 3;
    const int hostile = size > 2 && data[2] % 8 == 0;
    while (count < MOST && at + 2 < size) {
        const size_t length = data[at] % 7;
        Record r = {data[at + 1] % 32 < 2 ? data[at + 1] % 12 : FILE_KIND, 0, 0, 0, 0, (int64_t)used, 0, data[at + 1] % 5 == 4};
        if (data[at + 1] % 32 == 1) r.kind = data[0] % 11;
        for (size_t k = 0; k < length && at + 2 + k < size; k++) names[used++] = (uint8_t)letters[data[at + 2 + k] % 8];
        r.name_end = (int64_t)used;
        if (hostile && data[at + 1] % 16 == 7) r.name_at = (int64_t)((uint64_t)data[0] << 56 | data[1]);
        if (hostile && data[at + 1] % 16 == 9) r.name_end = (int64_t)((uint64_t)data[1] << 56 | data[0]);
        made[count++] = r;
        at += 2 + length;
    }
    uint8_t *exact = block_of(names, used), *endings = block_of("jpg.g", 5), *picture = block_of(data, count <= size ? count : 0);
    Record *records = block_of(made, count * sizeof *made);
    int64_t *sample = malloc(count * 8 + 1), *keys = malloc(count * 16 + 1);
    MUST(sample && keys);
    Grouping g = {.records = records, .count = count, .names = {exact, used}, .endings = {endings, 5}, .key = {size, 7},
                  .sample = sample, .picture = picture, .keys = keys};
    const int done = vetset_sample_groups(&g);
    MUST(done >= 0 && (done || hostile));
    if (done) must_be_grouped(&g);
    free(exact), free(endings), free(picture), free(records), free(sample), free(keys);
}
