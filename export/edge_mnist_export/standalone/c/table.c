/* A function of one byte. */
static void table(const uint8_t bytes[256], int size, const uint8_t *in, uint8_t *out)
{
    for (int i = 0; i < size; i++) {
        out[i] = bytes[in[i]];
    }
}
