/* An image with a border of the zero point. Triples are (rows, columns, channels). */
static void pad(const uint16_t from[3], const uint16_t before[3], const uint16_t to[3],
                uint8_t zero, const uint8_t *in, uint8_t *out)
{
    memset(out, zero, (size_t)to[0] * to[1] * to[2]);
    for (int y = 0; y < from[0]; y++) {
        for (int x = 0; x < from[1]; x++, in += from[2]) {
            const int pixel = (y + before[0]) * to[1] + x + before[1];
            memcpy(out + pixel * to[2] + before[2], in, from[2]);
        }
    }
}
