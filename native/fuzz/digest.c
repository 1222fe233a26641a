/* md5 in lanes and sha256 by instructions against one message at a time in plain C; hex against a reading by halves. */
#include "driver.h"
#include "../digest.c"

static void md5_of(const uint8_t *data, size_t size, uint8_t *out) {
    const Message message = {data, size, out};
    Queue queue = {&message, 1, 0};
    md5_plain(&queue);
}

static void sha256_of(const uint8_t *data, size_t size, uint8_t *out) {
    uint32_t words[8];
    uint8_t *padded = calloc(size + 2 * BLOCK, 1);
    const size_t blocks = (size + 9 + BLOCK - 1) / BLOCK;
    MUST(padded);
    memcpy(words, SHA_START, sizeof words);
    if (size) memcpy(padded, data, size);
    padded[size] = 0x80;
    for (int k = 0; k < 8; k++) padded[blocks * BLOCK - 1 - k] = (uint8_t)((uint64_t)size * 8 >> (8 * k));
    sha256_plain(words, padded, blocks);
    for (int k = 0; k < 32; k++) out[k] = (uint8_t)(words[k / 4] >> (24 - 8 * (k % 4)));
    free(padded);
}

static void try_input(const uint8_t *data, size_t size) {
    enum { MOST = 70 };
    Message messages[MOST];
    uint8_t *bodies[MOST], *digests = block_of(data, 0), one[32];
    const size_t count = size ? data[0] % MOST : 0;
    size_t at = 1;
    free(digests);
    digests = malloc(32 * MOST);
    MUST(digests);
    for (size_t k = 0; k < count; k++) {
        const size_t left = at < size ? size - at : 0, length = left ? data[at] * (data[at] % 3) % (left + 1) : 0;
        bodies[k] = block_of(data + (left ? at : 0), length);
        messages[k] = (Message){bodies[k], length, digests + 32 * k};
        at += length ? length : 1;
    }
    vetset_md5(messages, count);
    for (size_t k = 0; k < count; k++) {
        md5_of(messages[k].data, messages[k].size, one);
        MUST(!memcmp(one, messages[k].out, 16));
    }
    vetset_sha256(messages, count);
    for (size_t k = 0; k < count; k++) {
        sha256_of(messages[k].data, messages[k].size, one);
        MUST(!memcmp(one, messages[k].out, 32));
        free(bodies[k]);
    }
    free(digests);
    const size_t width = size / 2 < 32 ? size / 2 : 32;
    uint8_t *text = block_of(data, 2 * width), *value = block_of(data, width);
    const int read = unhex(text, width, value);
    for (size_t k = 0; read && k < width; k++) {
        char digits[3];
        snprintf(digits, sizeof digits, "%02x", value[k]);
        MUST((text[2 * k] | 32) == (uint8_t)(digits[0] | 32) && (text[2 * k + 1] | 32) == (uint8_t)(digits[1] | 32));
    }
    free(text), free(value);
    int64_t offsets[8];
    memset(offsets, 0, sizeof offsets);
    memcpy(offsets, data, size < sizeof offsets ? size : sizeof offsets);
    if (vetset_column_holds(offsets, 8, size, size % 9, size % 7))
        for (size_t k = size % 9; k < size % 9 + size % 7; k++)
            MUST(k + 1 < 8 && offsets[k] >= 0 && offsets[k] <= offsets[k + 1] && (uint64_t)offsets[k + 1] <= size);
}
