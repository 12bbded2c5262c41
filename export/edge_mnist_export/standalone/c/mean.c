/* The mean of each channel over the whole image. */
static void mean(int pixels, int channels, int32_t zero, float multiplier, const Limits *limits,
                 const uint8_t *in, uint8_t *out)
{
    for (int c = 0; c < channels; c++) {
        int32_t sum = -zero * pixels;
        for (int i = 0; i < pixels; i++) {
            sum += in[i * channels + c];
        }
        out[c] = requantize(sum, multiplier, limits);
    }
}
