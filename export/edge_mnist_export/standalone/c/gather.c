/* Copy the window whose first pixel is (y, x) into a column. Outside of the image is `zero`. */
static void gather(const Window *w, const uint8_t *in, int y, int x, uint8_t zero,
                   uint8_t *column)
{
    const int width = w->width, depth = w->depth, gap = w->dilation[1];
    /* All pixels of a row at once, where they are neighbours and inside. */
    const int whole = gap == 1 && x >= 0 && x + w->size[1] <= width;
    const int run = whole ? w->size[1] : 1;
    const int bytes = run * depth;

    for (int i = 0; i < w->size[0]; i++, y += w->dilation[0]) {
        const int inside = y >= 0 && y < w->height;
        for (int j = 0; j < w->size[1]; j += run) {
            const int left = x + j * gap;
            if (inside && left >= 0 && left < width) {
                memcpy(column, in + (y * width + left) * depth, (size_t)bytes);
            } else {
                memset(column, zero, (size_t)bytes);
            }
            column += bytes;
        }
    }
}
