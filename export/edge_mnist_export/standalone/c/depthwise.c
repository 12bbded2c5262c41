/* A convolution of each input channel by itself; `each` output channels see one input channel. */
typedef struct {
    Window window;
    const int8_t *weights; /* (channels, height, width) */
    const int32_t *bias;
    const float *multipliers;
    uint16_t each;
    uint8_t zero; /* the input's zero point, which the bias already holds */
    Limits limits;
} Depthwise;

static void depthwise(const Depthwise *layer, const uint8_t *in, uint8_t *out, uint8_t *column)
{
    const Window *const w = &layer->window;
    const int taps = w->size[0] * w->size[1];

    for (int i = 0; i < w->rows; i++) {
        for (int j = 0; j < w->columns; j++, out += w->channels) {
            const int8_t *weight = layer->weights;
            gather(w, in, i * w->stride[0] - w->padding[0], j * w->stride[1] - w->padding[1],
                   layer->zero, column);
            for (int o = 0; o < w->channels; o++) {
                const uint8_t *x = column + o / layer->each;
                int32_t sum = layer->bias[o];
                for (int t = 0; t < taps; t++, x += w->depth) {
                    sum += (int32_t)*x * *weight++;
                }
                out[o] = requantize(sum, layer->multipliers[o], &layer->limits);
            }
        }
    }
}
