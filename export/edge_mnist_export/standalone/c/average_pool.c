/* The mean of each channel in a window, rounded to the nearest integer, ties away from `origin`:
 * the byte of the value 0 before signs were removed. */
static void average_pool(const Window *w, const Limits *limits, int32_t origin, const uint8_t *in,
                         uint8_t *out)
{
    for (int i = 0; i < w->rows; i++) {
        for (int j = 0; j < w->columns; j++) {
            int y, x;
            const int height = inside(w, 0, i, w->height, &y);
            const int width = inside(w, 1, j, w->width, &x);
            const int32_t count = (int32_t)height * width, half = count / 2;
            for (int c = 0; c < w->depth; c++) {
                const uint8_t *row = in + (y * w->width + x) * w->depth + c;
                int32_t sum = -origin * count;
                for (int k = 0; k < height; k++, row += w->width * w->depth) {
                    for (int l = 0; l < width; l++) {
                        sum += row[l * w->depth];
                    }
                }
                sum = (sum < 0 ? sum - half : sum + half) / count;
                *out++ = clip(sum + origin, limits);
            }
        }
    }
}
