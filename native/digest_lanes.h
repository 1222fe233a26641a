/* Messages that are digested side by side: where they are, the queue of them, and the lane that holds one at a time.
 *
 * When a message ends, its digest is stored and the next takes its lane, so that lengths may differ. The last block or
 * two of a message, with padding, stand in the lane itself.
 */
#ifndef VETSET_DIGEST_LANES_H
#define VETSET_DIGEST_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 64, LITTLE = 0, BIG = 1 };

/* `size` bytes at `data`, whose digest goes to `out`. */
typedef struct { const uint8_t *data; size_t size; uint8_t *out; } Message;
typedef struct { const Message *messages; size_t count, next; } Queue;

typedef struct {
    const uint8_t *at;
    size_t left;            /* whole blocks at `at` before the tail */
    unsigned tail, tails;   /* which block of the tail comes next, and how many there are */
    const Message *message; /* NULL: an idle lane, which digests its tail and keeps nothing */
    size_t total, stride;   /* for lanes in step (digest_md5.h): blocks to come, and the way from one to the next */
    uint8_t before[BLOCK];  /* so that the end of a message can be copied as a whole block, whatever its length */
    uint8_t end[2 * BLOCK];
} Lane;

/* A message into a lane: its whole blocks where they are, the rest and the padding in the lane. */
INLINE void fill_lane(Lane *lane, const Message *message, int order) {
    static const uint8_t nothing[1] = {0};
    const size_t size = message ? message->size : 0, rest = size % BLOCK;
    const uint8_t *data = message ? message->data : nothing;
    lane->message = message;
    lane->at = data;
    lane->left = size / BLOCK;
    lane->tail = 0;
    lane->tails = rest + 9 > BLOCK ? 2 : 1;
    memset(lane->end, 0, sizeof lane->end);
    if (size >= BLOCK) memcpy(lane->before + rest, data + size - BLOCK, BLOCK);
    else if (rest) memcpy(lane->end, data, rest);
    lane->end[rest] = 0x80;
    const uint64_t bits = (uint64_t)size * 8;
    for (int k = 0; k < 8; k++)
        lane->end[lane->tails * BLOCK - 8 + k] = (uint8_t)(bits >> (8 * (order == BIG ? 7 - k : k)));
}

static const Message *next_of(Queue *queue) {
    return queue->next < queue->count ? queue->messages + queue->next++ : NULL;
}

#endif
