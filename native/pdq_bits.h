/* PDQ from the 64x64 picture on: cosines, quality, and the bits of all orientations. Included by pdq.c alone. */

#define INLINE static inline __attribute__((always_inline))

static float MATRIX[LOW][SIDE];
static float MATRIX_T[SIDE][LOW];

__attribute__((constructor)) static void make_matrix(void) {
    const float scale = sqrtf(2.0f / SIDE);
    for (int i = 0; i < LOW; i++)
        for (int j = 0; j < SIDE; j++)
            MATRIX_T[j][i] = MATRIX[i][j] = (float)((double)scale * cos((M_PI / 2 / SIDE) * (i + 1) * (2 * j + 1)));
}

/* The lowest coefficients of a cosine transform but the constant ones, summed in order. */
INLINE void cosines(float small[SIDE][SIDE], float out[BITS]) {
    float half[LOW][SIDE];
    for (int i = 0; i < LOW; i++) {
        float line[SIDE] = {0};
        for (int k = 0; k < SIDE; k++) {
            const float d = MATRIX[i][k];
            for (int j = 0; j < SIDE; j++) line[j] += d * small[k][j];
        }
        memcpy(half[i], line, sizeof line);
    }
    for (int i = 0; i < LOW; i++) {
        float line[LOW] = {0};
        for (int k = 0; k < SIDE; k++)
            for (int j = 0; j < LOW; j++) line[j] += half[i][k] * MATRIX_T[k][j];
        memcpy(out + i * LOW, line, sizeof line);
    }
}

static int capped(int total) { return total / 90 > 100 ? 100 : total / 90; }

/* A step between neighbours, rounded towards zero; counted are those that the margin could take up to the next whole
 * number, or down from theirs. */
INLINE int step_of(float one, float other, float margin, int *up, int *down) {
    const float step = fabsf((one - other) * 100 / 255);
    const int whole = (int)step;
    const float rest = step - (float)whole;
    *up += rest >= 1 - margin;
    *down += (rest <= margin) & (whole != 0);
    return whole;
}

/* Steps between neighbours in units of 90, at most 100. Answers whether no margin could change it. */
INLINE int quality_of(float small[SIDE][SIDE], float margin, int *quality) {
    int total = 0, up = 0, down = 0;
    for (int i = 0; i < SIDE; i++) {
        const float *line = small[i], *below = small[i + 1 < SIDE ? i + 1 : i]; /* the last row has no step down: 0 */
        for (int j = 0; j < SIDE - 1; j++) total += step_of(line[j], line[j + 1], margin, &up, &down);
        for (int j = 0; j < SIDE; j++) total += step_of(line[j], below[j], margin, &up, &down);
    }
    *quality = capped(total);
    return capped(total - down) == capped(total + up);
}

/* Floats as whole numbers in the same order; both zeros are the same. */
INLINE int32_t rank_of(float value) {
    int32_t bits;
    value += 0.0f;
    memcpy(&bits, &value, sizeof bits);
    return bits < 0 ? (int32_t)(0x80000000u - (uint32_t)bits) : bits;
}

/* The 128th smallest of 256 ranks, bit by bit from above: the greatest number below which lie fewer than 128. */
INLINE int32_t middle_of(const int32_t ranks[BITS]) {
    uint32_t middle = 0;
    for (uint32_t bit = 0x80000000u; bit; bit >>= 1) {
        const int32_t tried = (int32_t)((middle | bit) ^ 0x80000000u);
        int below = 0;
        for (int k = 0; k < BITS; k++) below += ranks[k] < tried;
        if (below < BITS / 2) middle |= bit;
    }
    return (int32_t)(middle ^ 0x80000000u);
}

/* One bit a coefficient, the last one first. */
INLINE void pack(const uint8_t above[BITS], uint8_t *out) {
    for (int byte = 0; byte < BYTES; byte++) {
        const uint8_t *from = above + BITS - 8 * (byte + 1);
        int bits = 0;
        for (int k = 0; k < 8; k++) bits |= from[k] << k;
        out[byte] = (uint8_t)bits;
    }
}

INLINE int is_wide(const float values[BITS], const uint8_t above[BITS], const float margins[BITS]) {
    float least = INFINITY, greatest = -INFINITY;
    int count = 0; /* fewer than half where some are equal to the middle, and rounding could part them */
    for (int k = 0; k < BITS; k++) {
        count += above[k];
        const float low = above[k] ? values[k] - margins[k] : INFINITY, high = above[k] ? -INFINITY : values[k] + margins[k];
        least = low < least ? low : least;
        greatest = high > greatest ? high : greatest;
    }
    return least > greatest && count == BITS / 2;
}

/* The bits of the picture turned and mirrored: signs of odd rows or columns, and a transposition. Answers whether no
 * margin could move a coefficient across the middle: the least of those above, less its margin, lies above the greatest
 * of the others, with its own. How the others lie among themselves is all the same. */
INLINE int all_bits(const float plain[BITS], const float *margins, uint8_t *out) {
    static const uint8_t sign_of[ORIENTATIONS] = {0, 1, 3, 2, 2, 1, 0, 3}, turned[ORIENTATIONS] = {0, 1, 0, 1, 0, 0, 1, 1};
    uint8_t above[4][BITS], across[BITS];
    int certain = 1;
    for (int sign = 0; sign < 4; sign++) {
        int32_t ranks[BITS];
        float values[BITS];
        for (int k = 0; k < BITS; k++) {
            const int odd_row = k / LOW & 1, odd_column = k & 1;
            const int kept = sign == 0 || (sign == 1 && odd_column) || (sign == 2 && odd_row) ||
                             (sign == 3 && odd_row == odd_column);
            values[k] = kept ? plain[k] : -plain[k];
            ranks[k] = rank_of(values[k]);
        }
        const int32_t middle = middle_of(ranks);
        for (int k = 0; k < BITS; k++) above[sign][k] = ranks[k] > middle;
        if (margins && certain) certain = is_wide(values, above[sign], margins);
    }
    for (int o = 0; o < ORIENTATIONS; o++) {
        const uint8_t *from = above[sign_of[o]];
        if (turned[o]) {
            for (int i = 0; i < LOW; i++)
                for (int j = 0; j < LOW; j++) across[i * LOW + j] = from[j * LOW + i];
            from = across;
        }
        pack(from, out + o * BYTES);
    }
    return certain;
}
