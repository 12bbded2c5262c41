/* The product of two images. */
typedef struct {
    int32_t zeros[2];
    float multiplier;
    Limits limits;
} Multiply;

static void multiply(const Multiply *layer, int size, const uint8_t *first,
                     const uint8_t *second, uint8_t *out)
{
    for (int i = 0; i < size; i++) {
        const int32_t product = (first[i] - layer->zeros[0]) * (second[i] - layer->zeros[1]);
        out[i] = requantize(product, layer->multiplier, &layer->limits);
    }
}
