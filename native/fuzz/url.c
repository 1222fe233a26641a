/* Addresses of the alphabet that matters: what is told to be settled must have the shape that the rule says. */
#include "driver.h"
#include "../url.c"

static void try_input(const uint8_t *data, size_t size) {
    static const char letters[] = "ahtps:/.-?#%@A1_~&\xc3 ";
    const size_t head = size && data[0] & 1 ? 7 : 8;
    uint8_t *text = malloc(size + 9);
    MUST(text);
    memcpy(text, head == 7 ? "http://" : "https://", head);
    for (size_t k = 0; k < size; k++) text[head + k] = data[k] & 128 ? data[k] : (uint8_t)letters[data[k] % (sizeof letters - 1)];
    uint8_t *value = block_of(text, head + size);
    if (vetset_is_settled(value, head + size)) {
        const char *host = (const char *)value + head;
        const uint8_t *path = memchr(host, '/', size);
        MUST(path && path > value + head);
        for (const uint8_t *p = value + head; p < path; p++) {
            MUST((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '.' || *p == '-');
            MUST(*p != '-' || (p[-1] != '-' && p[-1] != '.' && p[-1] != '/' && p[1] != '.' && p[1] != '/'));
            MUST(*p != '.' || (p[-1] != '.' && p[-1] != '/' && p[1] != '/'));
        }
        for (const uint8_t *p = path; p < value + head + size; p++) {
            MUST(*p > ' ' && *p < 127 && *p != '#' && *p != '"' && *p != '<' && *p != '>' && *p != '\\');
            if (*p == '?') { MUST(p + 1 < value + head + size); break; }
            MUST(*p != '/' || p + 1 >= value + head + size || (p[1] != '.' && p[1] != '%'));
        }
    }
    free(value), free(text);
}
