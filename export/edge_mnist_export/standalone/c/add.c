/* The sum of two images, in 32-bit integers. */
typedef struct {
    int32_t multipliers[2];
    int32_t zeros[2];
    int32_t shift;
    Limits limits;
} Add;

static void add(const Add *layer, int size, const uint8_t *first, const uint8_t *second,
                uint8_t *out)
{
    /* A shift of a negative number is left to the compiler, so 2^30 is added before it. */
    const uint32_t positive = (uint32_t)1 << 30, half = (uint32_t)1 << (layer->shift - 1);

    for (int i = 0; i < size; i++) {
        const int32_t sum = layer->multipliers[0] * (first[i] - layer->zeros[0]) +
                            layer->multipliers[1] * (second[i] - layer->zeros[1]);
        const uint32_t shifted = ((uint32_t)sum + half + positive) >> layer->shift;
        out[i] = clip((int32_t)shifted - (int32_t)(positive >> layer->shift), &layer->limits);
    }
}
