/* A convolution, or a dense layer. Each sum begins with a bias that already holds the input's zero
 * point, so that the loops multiply bytes as they are. Four output channels are computed at once:
 * their weights alternate every four bytes. The channels that are left follow, one by one. */
typedef struct {
    Window window;
    const int8_t *weights;
    const int32_t *bias;
    const float *multipliers;
    uint16_t taps; /* the weights of one channel, filled up with 0 to a multiple of 4 */
    uint8_t zero;  /* the input's zero point */
    Limits limits;
} Convolution;

#if defined(__ARM_FEATURE_SIMD32)
/* Two products at once: the even bytes of four, then the odd ones. */
static inline int32_t dot_word(int32_t sum, int16x2_t even, int16x2_t odd, const int8_t *w)
{
    uint32_t word;

    memcpy(&word, w, sizeof word);
    sum = __smlad(even, __sxtb16((int8x4_t)word), sum);
    return __smlad(odd, __sxtb16((int8x4_t)(word >> 8)), sum);
}
#endif

static const int8_t *dot4(int32_t sums[4], const uint8_t *in, const int8_t *w, int taps)
{
    const uint8_t *const end = in + taps;
    int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];

    for (; in != end; in += 4, w += 16) {
#if defined(__ARM_FEATURE_SIMD32)
        uint32_t word;
        memcpy(&word, in, sizeof word);
        const int16x2_t even = (int16x2_t)(word & 0x00ff00ffu);
        const int16x2_t odd = (int16x2_t)(word >> 8 & 0x00ff00ffu);
        a = dot_word(a, even, odd, w), b = dot_word(b, even, odd, w + 4);
        c = dot_word(c, even, odd, w + 8), d = dot_word(d, even, odd, w + 12);
#else
        int32_t x = in[0];
        a += x * w[0], b += x * w[4], c += x * w[8], d += x * w[12];
        x = in[1];
        a += x * w[1], b += x * w[5], c += x * w[9], d += x * w[13];
        x = in[2];
        a += x * w[2], b += x * w[6], c += x * w[10], d += x * w[14];
        x = in[3];
        a += x * w[3], b += x * w[7], c += x * w[11], d += x * w[15];
#endif
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    return w;
}

/* Write the channels of one pixel. */
static void pixel(const Convolution *layer, const uint8_t *in, uint8_t *out)
{
    const int8_t *w = layer->weights;
    const int channels = layer->window.channels;
    int o = 0;

    while (o + 4 <= channels) {
        int32_t sums[4];
        memcpy(sums, layer->bias + o, sizeof sums);
        w = dot4(sums, in, w, layer->taps);
        for (int k = 0; k < 4; k++, o++) {
            out[o] = requantize(sums[k], layer->multipliers[o], &layer->limits);
        }
    }
    for (; o < channels; o++) {
        int32_t sum = layer->bias[o];
        for (int i = 0; i < layer->taps; i++) {
            sum += (int32_t)in[i] * *w++;
        }
        out[o] = requantize(sum, layer->multipliers[o], &layer->limits);
    }
}

/* `column` has room for one window; without it, a window is one pixel, which is read in place. */
static void convolution(const Convolution *layer, const uint8_t *in, uint8_t *out,
                        uint8_t *column)
{
    const Window *const w = &layer->window;

    for (int i = 0; i < w->rows; i++) {
        for (int j = 0; j < w->columns; j++, out += w->channels) {
            const int y = i * w->stride[0] - w->padding[0], x = j * w->stride[1] - w->padding[1];
            if (column) {
                gather(w, in, y, x, layer->zero, column);
                pixel(layer, column, out);
            } else {
                pixel(layer, in + (y * w->width + x) * w->depth, out);
            }
        }
    }
}
