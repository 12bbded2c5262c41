/* Return the part of a window that is inside of the image, along one axis. */
static int inside(const Window *w, int axis, int position, int extent, int *first)
{
    const int start = position * w->stride[axis] - w->padding[axis];
    const int end = start + w->size[axis];

    *first = start < 0 ? 0 : start;
    return (end < extent ? end : extent) - *first;
}
