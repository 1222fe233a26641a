/* Addresses of the alphabet that matters. Every way to tell what is settled says the same; what is told to be so has the
 * shape that the rule says; and `tx` is what a second reading of its rule makes, step by step. */
#include "driver.h"
#include "../url.c"

static void must_be_settled(const uint8_t *value, size_t size) {
    const uint8_t *host = memchr(value, ':', size);
    MUST(host && (size_t)(host - value) + 3 < size);
    host += 3;
    const uint8_t *end = value + size, *path = memchr(host, '/', (size_t)(end - host));
    MUST(path && path > host);
    for (const uint8_t *p = host; p < path; p++) {
        MUST((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '.' || *p == '-');
        MUST(*p != '-' || (p[-1] != '-' && p[-1] != '.' && p[-1] != '/' && p[1] != '.' && p[1] != '/'));
        MUST(*p != '.' || (p[-1] != '.' && p[-1] != '/' && p[1] != '/'));
    }
    for (const uint8_t *p = path; p < end; p++) {
        MUST(*p > ' ' && *p < 127 && *p != '#' && *p != '"' && *p != '<' && *p != '>' && *p != '\\');
        if (*p == '?') { MUST(p + 1 < end); break; }
        MUST(*p != '/' || p + 1 >= end || (p[1] != '.' && p[1] != '%'));
    }
}

/* The rule of `tx`, one step after the other, on ASCII. */
static int64_t tx_by_steps(const uint8_t *value, size_t size, uint8_t *text) {
    size_t n = 0, at = 0;
    while (size && value[size - 1] <= 32) size--;
    while (size && value[0] <= 32) value++, size--;
    for (size_t k = 0; k < size; k++) if (!strchr("\t\r\n", value[k]) || !value[k]) text[n++] = value[k];
    for (size_t k = 0; k < n; k++) if (text[k] >= 'A' && text[k] <= 'Z') text[k] += 32;
    if (n && text[0] >= 'a' && text[0] <= 'z') {
        while (at < n && text[at] && strchr("abcdefghijklmnopqrstuvwxyz0123456789+.-", text[at])) at++;
        at = at + 2 < n && !memcmp(text + at, "://", 3) ? at + 1 : 0;
    }
    if (n - at >= 2 && !memcmp(text + at, "//", 2)) {
        int open = 0, closed = 0;
        at += 2;
        for (size_t k = at; k < n && (!text[k] || !strchr("/?#", text[k])); k++) open |= text[k] == '[', closed |= text[k] == ']';
        if (open != closed) return 0;
    }
    memmove(text, text + at, n -= at);
    size_t hash = 0, mark = 0;
    while (hash < n && text[hash] != '#') hash++;
    if (hash + 1 == n) n--;
    while (mark < hash && text[mark] != '?') mark++;
    if (mark + 1 == hash) memmove(text + mark, text + hash, n - hash), n--;
    return (int64_t)n;
}

static void must_agree(const uint8_t *data, size_t size) {
    uint8_t *value = block_of(data, size), *made = block_of(data, size), *slow = malloc(size + 1);
    MUST(slow);
    const int what = settled_plain(value, size);
    MUST(settled_way()(value, size) == what);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) MUST(settled_avx2(value, size) == what);
#endif
    if (what) {
        must_be_settled(value, size);
        write_whatwg(value, size, made);
        MUST(settled_plain(made, size) == SETTLED);
        MUST(what == FOLDED || !memcmp(made, value, size));
    }
    const int64_t length = write_tx(value, size, made);
    int ascii = 1;
    for (size_t k = 0; k < size; k++) ascii &= value[k] < 128;
    MUST(ascii == (length >= 0));
    if (ascii) MUST(tx_by_steps(value, size, slow) == length && !memcmp(made, slow, (size_t)length));
    free(value), free(made), free(slow);
}

static void try_input(const uint8_t *data, size_t size) {
    static const char letters[] = "ahtps:/.-?#%@A1_~&[] \t\n";
    static const char *const heads[] = {"http://", "https://", "HTTPS://A.", "Http://b-c.d/", "", "//", "s+1://", "http://a.b/c?"};
    const char *head = heads[size ? data[0] % 8 : 0];
    const size_t first = strlen(head);
    uint8_t *text = malloc(first + size + 1);
    MUST(text);
    memcpy(text, head, first);
    for (size_t k = 0; k < size; k++)
        text[first + k] = data[k] > 250 ? data[k] : size > 1 && data[1] % 2 ? (uint8_t)"ab1/c"[data[k] % 5 * (data[k] % 3 > 0)]
                                                                            : (uint8_t)letters[data[k] % (sizeof letters - 1)];
    must_agree(text, first + size);
    must_agree(data, size);
    free(text);
}
