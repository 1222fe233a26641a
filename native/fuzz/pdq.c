/* PDQ by every set of instructions and both ways, against the reference's filter written down plainly: running sums of
 * one row and one column at a time over whole planes. Sizes around the limits of windows, lanes and strips. */
#include "driver.h"
#include "../pdq.c"

/* Means along one line, `step` apart. */
static void boxed(const float *in, float *out, size_t length, size_t step) {
    const size_t window = window_of(length), half = (window + 2) / 2;
    size_t right = 0, left = 0, at = 0;
    float sum = 0, count = 0;
    for (; right < half - 1; right++) sum += in[right * step], count += 1;
    for (size_t k = 0; k < window - half + 1; k++, right++, at++) {
        sum += in[right * step], count += 1;
        out[at * step] = sum / count;
    }
    for (size_t k = 0; k < length - window; k++, right++, left++, at++) {
        sum += in[right * step];
        sum -= in[left * step];
        out[at * step] = sum / count;
    }
    for (size_t k = 0; k < half - 1; k++, left++, at++) {
        sum -= in[left * step], count -= 1;
        out[at * step] = sum / count;
    }
}

static void plainly(const uint8_t *pixels, size_t height, size_t width, int colours, uint8_t *prints, int *quality) {
    const size_t count = height * width;
    float *plane = malloc(2 * count * sizeof *plane), *other = plane + count, small[SIDE][SIDE], coefficients[BITS];
    MUST(plane);
    for (size_t k = 0; k < count; k++) {
        const uint8_t *p = pixels + 3 * k;
        plane[k] = colours == 1 ? pixels[k] : (float)(p[0] * 0.299 + p[1] * 0.587 + p[2] * 0.114);
    }
    for (int pass = 0; pass < 2; pass++) {
        for (size_t y = 0; y < height; y++) boxed(plane + y * width, other + y * width, width, 1);
        for (size_t x = 0; x < width; x++) boxed(other + x, plane + x, height, width);
    }
    for (size_t i = 0; i < SIDE; i++)
        for (size_t j = 0; j < SIDE; j++) small[i][j] = plane[centre_of(i, height) * width + centre_of(j, width)];
    cosines(small, coefficients);
    all_bits(coefficients, NULL, prints);
    quality_of(small, 0, quality);
    free(plane);
}

/* A side from two bytes: mostly near a limit. */
static size_t side_of(const uint8_t *data) {
    static const size_t limits[8] = {5, 16, 32, 64, 128, 192, 256, 384};
    const size_t side = limits[data[0] & 7] + (data[0] & 8 ? data[1] % 3 - (size_t)1 : data[1] % 40);
    return side < LEAST ? LEAST : side;
}

static void try_input(const uint8_t *data, size_t size) {
    if (size < 8 || data[5] % 8) return; /* one in eight: each takes a while */
    const size_t height = side_of(data), width = side_of(data + 2), channels = data[4] & 1 ? 3 : 1;
    uint8_t *pixels = block_of(NULL, 0);
    free(pixels);
    pixels = malloc(height * width * channels);
    MUST(pixels);
    for (size_t k = 0; k < height * width * channels; k++) /* the bytes over and over, or a slope of them, or flat */
        pixels[k] = data[4] & 2 ? data[k % size] : (uint8_t)(data[6] + (data[4] & 4 ? k * data[7] / 64 : 0));
    uint8_t wanted[ORIENTATIONS * BYTES];
    int quality;
    plainly(pixels, height, width, (int)channels, wanted, &quality);
    for (int lanes = 4; lanes <= 16; lanes *= 2)
        for (int how = EITHER_WAY; how <= FUSED_WAY; how++) {
            uint8_t *prints = block_of(wanted, sizeof wanted);
            int own = -1;
            memset(prints, 0xa5, sizeof wanted);
            const int done = vetset_pdq(pixels, height, width, (int)channels, lanes, how, prints, &own);
            MUST(done == 0 || (done == 1 && how != EXACT_WAY));
            if (how != FUSED_WAY) MUST(own == quality && !memcmp(prints, wanted, sizeof wanted));
            free(prints);
        }
    free(pixels);
}
