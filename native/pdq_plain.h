/* What pdq_lanes.h needs to be told where nothing is known of the processor: four lanes of GNU vectors. */
#define TARGET
#define NAME(x) x##_plain
#define LANES 4

typedef float Four __attribute__((vector_size(16)));
typedef int32_t FourOrder __attribute__((vector_size(16)));

/* A square of rows, in place: each round deals them like a pack of cards. */
ALWAYS void transpose_plain(Four *square) {
    for (int round = 0; round < 2; round++) {
        const Four a = square[0], b = square[1], c = square[2], d = square[3];
        square[0] = DEAL(FourOrder, a, c, 0, 4, 1, 5);
        square[1] = DEAL(FourOrder, a, c, 2, 6, 3, 7);
        square[2] = DEAL(FourOrder, b, d, 0, 4, 1, 5);
        square[3] = DEAL(FourOrder, b, d, 2, 6, 3, 7);
    }
}

ALWAYS Four divide_plain(Four a, Four b, Four reciprocal) {
    (void)reciprocal;
    return a / b;
}

ALWAYS Four grey_plain(const uint8_t *p) { return (Four){p[0], p[1], p[2], p[3]}; }

/* Sums of 299, 587 and 114 thousandths. */
ALWAYS Four thousandths_plain(const uint8_t *p) {
    Four sums;
    for (int k = 0; k < LANES; k++) sums[k] = (float)(299 * p[3 * k] + 587 * p[3 * k + 1] + 114 * p[3 * k + 2]);
    return sums;
}
