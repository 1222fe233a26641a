/* Tars made of headers with a right sum and hostile fields, and of any bytes: every record lies inside the archive, and
 * records do not overlap. */
#include "driver.h"
#include "../tar.c"

static void set_sum(uint8_t *header) {
    unsigned sum = 8 * ' ';
    for (int k = 0; k < BLOCK; k++) if (k < 148 || k >= 156) sum += header[k];
    char text[9];
    snprintf(text, sizeof text, "%06o", sum);
    memcpy(header + 148, text, 7), header[155] = ' ';
}

static void try_input(const uint8_t *data, size_t size) {
    static const char types[] = "0xgLKXS1235670Z";
    const size_t blocks = size ? data[0] % 12 + 1 : 1, cut = size > 1 ? data[1] % BLOCK : 0;
    uint8_t *made = calloc(blocks + 1, BLOCK);
    MUST(made);
    for (size_t b = 0, at = 2; b < blocks && at + 8 < size; b++) {
        uint8_t *block = made + b * BLOCK;
        for (size_t k = 0; k < 60 && at < size; k++) block[k] = data[at++];
        if (block[0] % 4 == 3) continue; /* data, not a header */
        if (block[0] % 4 == 2) { snprintf((char *)block, BLOCK, "%d path=%d\n%d size=%d\n", block[1] % 20, block[2], block[3] % 20, block[4]); continue; }
        snprintf((char *)block + 124, 12, "%o", (block[1] * 256u + block[2]) % 3000);
        if (block[3] % 16 == 0) block[124] = block[4] | 0x80;
        block[156] = (uint8_t)types[block[5] % (sizeof types - 1)];
        if (block[6] % 3 == 0) memcpy(block + 345, block + 10, 40);
        block[482] = block[7] % 2, block[504] = block[8] % 2;
        set_sum(block);
    }
    const size_t bytes = blocks * BLOCK - cut;
    uint8_t *view = block_of(made, bytes);
    for (int round = 0; round < 2; round++) {
        Record *records;
        uint8_t *names;
        size_t used, names_used;
        const size_t all = round ? size : bytes;
        uint8_t *exact = round ? block_of(data, size) : view;
        MUST(vetset_tar_walk(exact, all, 1 + size % 50, &records, &used, &names, &names_used) == FINE);
        int64_t before = 0;
        for (size_t k = 0; k < used; k++) {
            const Record *r = records + k;
            MUST(r->start >= before && r->start <= r->stop && r->size >= 0 && r->name_at >= 0);
            MUST((uint64_t)r->stop <= all + 2 * BLOCK && r->name_at <= r->name_end && (uint64_t)r->name_end <= names_used);
            MUST(!r->size || (uint64_t)(r->data + r->size) <= all);
            before = r->stop;
        }
        free(records), free(names);
        if (round) free(exact);
    }
    free(view), free(made);
}
