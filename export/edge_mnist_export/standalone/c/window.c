/* A window that slides over an image; pairs are (vertical, horizontal). */
typedef struct {
    uint16_t height, width, depth;    /* of the input */
    uint16_t rows, columns, channels; /* of the output */
    uint16_t size[2], stride[2], padding[2], dilation[2];
} Window;
