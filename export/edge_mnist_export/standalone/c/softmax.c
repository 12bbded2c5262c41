/* Probabilities in steps of 1/256. `exponentials[i]` is that of a value `i` steps below the
 * greatest. volatile: every sum and quotient is rounded to float32, and none is reordered. */
static void softmax(const float exponentials[256], int classes, const uint8_t *in, uint8_t *out)
{
    volatile float total = 0.0f, scale;
    uint8_t most = 0;

    for (int c = 0; c < classes; c++) {
        most = in[c] > most ? in[c] : most;
    }
    for (int c = 0; c < classes; c++) {
        total = total + exponentials[most - in[c]];
    }
    scale = 256.0f / total;
    for (int c = 0; c < classes; c++) {
        const int32_t share = nearest(exponentials[most - in[c]] * scale);
        out[c] = (uint8_t)(share > 255 ? 255 : share);
    }
}
