/* The greatest byte of each channel in a window. */
static void max_pool(const Window *w, const Limits *limits, const uint8_t *in, uint8_t *out)
{
    for (int i = 0; i < w->rows; i++) {
        for (int j = 0; j < w->columns; j++) {
            int y, x;
            const int height = inside(w, 0, i, w->height, &y);
            const int width = inside(w, 1, j, w->width, &x);
            for (int c = 0; c < w->depth; c++) {
                const uint8_t *row = in + (y * w->width + x) * w->depth + c;
                uint8_t best = 0;
                for (int k = 0; k < height; k++, row += w->width * w->depth) {
                    for (int l = 0; l < width; l++) {
                        const uint8_t value = row[l * w->depth];
                        best = value > best ? value : best;
                    }
                }
                *out++ = clip(best, limits);
            }
        }
    }
}
