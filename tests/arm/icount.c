/* A QEMU plugin (API version 1, QEMU 7.2) that counts the AArch64 instructions a program executes.
 *
 *     gcc -O2 -fPIC -shared -o libicount.so icount.c
 *     qemu-aarch64 -plugin ./libicount.so ...
 *
 * Each getppid() of the program prints, to stderr, what was executed since the last one:
 *     icount <all> <simd> <loadstore> <dot>
 * Debian does not ship qemu-plugin.h, so what is used of it is declared here. Instructions are told
 * apart by the fields of the Arm Architecture Reference Manual, C4.1 "A64 instruction set encoding".
 * The counters are not atomic: one thread only.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(
    plugin_id, void (*)(plugin_id, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t,
                        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));

EXPORT int qemu_plugin_version = 1;

enum { INLINE_ADD = 0, GETPPID = 173 };
enum { ALL, SIMD, LOAD_STORE, DOT, KINDS };

static uint64_t counts[KINDS], marked[KINDS];

static void count_block(plugin_id id, struct qemu_plugin_tb *block) {
    const size_t length = qemu_plugin_tb_n_insns(block);
    uint64_t found[KINDS] = {length};

    (void)id;
    for (size_t i = 0; i < length; i++) {
        const uint32_t word =
            *(const uint32_t *)qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i));
        const uint32_t group = (word >> 25) & 15; /* op0 */

        found[SIMD] += (group & 7) == 7;       /* x111: scalar floating point and Advanced SIMD */
        found[LOAD_STORE] += (group & 5) == 4; /* x1x0 */
        /* SDOT and UDOT, by vector and by element. */
        found[DOT] += (word & 0x9f20fc00) == 0x0e009400 || (word & 0x9f00f400) == 0x0f00e000;
    }
    for (int kind = 0; kind < KINDS; kind++)
        if (found[kind])
            qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD, &counts[kind], found[kind]);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b,
                       uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != GETPPID)
        return;
    fprintf(stderr, "icount");
    for (int kind = 0; kind < KINDS; kind++) {
        fprintf(stderr, " %" PRIu64, counts[kind] - marked[kind]);
        marked[kind] = counts[kind];
    }
    fprintf(stderr, "\n");
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv) {
    (void)info, (void)argc, (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
    return 0;
}
