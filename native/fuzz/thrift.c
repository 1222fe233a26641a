/* Any bytes as a struct, typed or not: what is read lies inside the data, and reading ends. */
#include "driver.h"
#include "../thrift.c"

static void try_input(const uint8_t *data, size_t size) {
    uint8_t *exact = block_of(data, size);
    for (int typed = 0; typed < 2; typed++)
        for (size_t place = 0; place <= size && place < 3; place++) {
            Reader reader = {exact, size, place, typed, FINE};
            const Value fields = struct_at(&reader, 0);
            MUST(reader.place <= size && (fields != 0) == (reader.state == FINE) && reader.state != FAILED);
            MUST(!fields || reader.place > place);
        }
    free(exact);
}
