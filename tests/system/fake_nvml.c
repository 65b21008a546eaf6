/* A stand-in for NVIDIA's libnvidia-ml.so.1 with the library's own symbols.
 *
 * What it does is chosen by the environment variable FAKE_NVML:
 *   healthy, two, mixed, mig, lost, lost_handle, hang, hang_init, crash,
 *   no_permission, not_loaded, mismatch, unsupported, old, garbage, noisy
 * FAKE_NVML_SWITCH names a file: while it exists the library behaves as its content says, so that
 * a test can break and mend the driver in the middle of a run.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, TOO_SMALL = 7,
       NOT_LOADED = 9, NO_FUNCTION = 13, LOST = 15, MISMATCH = 18 };

typedef struct { int index; int mig; } device;
typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned int gpu, memory; } utilisation;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } process;

static device gpus[2] = {{0, -1}, {1, -1}};
static device slices[2] = {{0, 0}, {0, 2}};
static const unsigned long long GIB = 1ULL << 30;

static const char *mode(void) {
    static char text[64];
    const char *path = getenv("FAKE_NVML_SWITCH");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        size_t length = fread(text, 1, sizeof text - 1, file);
        text[length] = 0;
        text[strcspn(text, "\n")] = 0;
        fclose(file);
        return text;
    }
    const char *value = getenv("FAKE_NVML");
    return value ? value : "healthy";
}
static int is(const char *name) { return strcmp(mode(), name) == 0; }
static void hang(void) { for (;;) pause(); }

/* What a call about a device does before it answers. `optional`: not every card has it. */
static int check(device *d, int optional) {
    if (is("hang")) hang();
    if (is("crash")) raise(SIGSEGV);
    if (is("lost") && d->index == 1) return LOST;
    if (is("unsupported") && optional) return UNSUPPORTED;
    return OK;
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (is("no_permission")) return NO_PERMISSION;
    if (is("not_loaded")) return NOT_LOADED;
    if (is("mismatch")) return MISMATCH;
    if (is("hang_init")) hang();
    if (is("noisy")) { printf("a line from the driver\n"); fflush(stdout); }
    return OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "\033[31mred error"; }

int nvmlSystemGetDriverVersion(char *text, unsigned int size) {
    snprintf(text, size, is("old") ? "470.82.01" : "580.65.06");
    return OK;
}
int nvmlSystemGetCudaDriverVersion(int *version) {
    *version = is("old") ? 11040 : 13000;
    return OK;
}
int nvmlDeviceGetCount_v2(unsigned int *count) {
    if (is("hang")) hang();
    *count = is("two") || is("mixed") || is("lost") || is("lost_handle") ? 2 : 1;
    return OK;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device **d) {
    if (index > 1) return INVALID;
    if (is("lost_handle") && index == 1) return LOST;
    *d = &gpus[index];
    return OK;
}
int nvmlDeviceGetName(device *d, char *text, unsigned int size) {
    int code = check(d, 0);
    if (code) return code;
    if (is("garbage")) snprintf(text, size, "\033]52;c;ZXZpbA==\007NVIDIA [INST]");
    else if (d->mig >= 0) snprintf(text, size, "NVIDIA H200 MIG 1g.18gb");
    else snprintf(text, size, is("mixed") && d->index ? "NVIDIA L4" : "NVIDIA H200");
    return OK;
}
int nvmlDeviceGetUUID(device *d, char *text, unsigned int size) {
    if (is("garbage")) snprintf(text, size, "GPU-\xff\xfe");
    else if (d->mig >= 0) snprintf(text, size, "MIG-%d0000000-aaaa-bbbb-cccc-000000000000", d->mig);
    else snprintf(text, size, "GPU-%d0000000-aaaa-bbbb-cccc-000000000000", d->index);
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(device *d, int *major, int *minor) {
    int code = check(d, 0);
    *major = 9; *minor = 0;
    return code;
}
int nvmlDeviceGetMemoryInfo(device *d, memory_v1 *m) {
    int code = check(d, 0);
    unsigned long long total = d->mig >= 0 ? 18 * GIB : 140 * GIB;
    *m = (memory_v1){total, total - 3 * GIB, 3 * GIB};
    return code;
}
int nvmlDeviceGetMemoryInfo_v2(device *d, memory_v2 *m) {
    int code = check(d, 0);
    unsigned long long total = d->mig >= 0 ? 18 * GIB : 140 * GIB;
    if (is("old")) return NO_FUNCTION;
    if (m->version != 0x02000028) return 25;
    *m = (memory_v2){m->version, total, GIB, total - 3 * GIB, 2 * GIB};
    return code;
}
int nvmlDeviceGetUtilizationRates(device *d, utilisation *u) {
    if (is("mig")) return UNSUPPORTED;
    *u = (utilisation){87, 41};
    return check(d, 1);
}
int nvmlDeviceGetPowerUsage(device *d, unsigned int *mw) { *mw = 512345; return check(d, 1); }
int nvmlDeviceGetEnforcedPowerLimit(device *d, unsigned int *mw) { *mw = 700000; return check(d, 1); }
int nvmlDeviceGetTemperature(device *d, unsigned int sensor, unsigned int *t) {
    *t = 61;
    return sensor ? INVALID : check(d, 1);
}
int nvmlDeviceGetTemperatureThreshold(device *d, unsigned int kind, unsigned int *t) {
    *t = 92;
    return kind == 1 ? check(d, 1) : INVALID; /* 1: where it slows itself down */
}
int nvmlDeviceGetClockInfo(device *d, unsigned int type, unsigned int *mhz) {
    *mhz = type == 1 ? 1980 : type == 2 ? 3201 : 0;
    return check(d, 1);
}
int nvmlDeviceGetMaxClockInfo(device *d, unsigned int type, unsigned int *mhz) {
    (void)type;
    *mhz = 1995;
    return check(d, 1);
}
int nvmlDeviceGetFanSpeed(device *d, unsigned int *percent) {
    (void)d; (void)percent;
    return UNSUPPORTED; /* data-centre cards have none */
}
int nvmlDeviceGetMigMode(device *d, unsigned int *current, unsigned int *pending) {
    *current = *pending = is("mig");
    return check(d, 1);
}
int nvmlDeviceGetMaxMigDeviceCount(device *d, unsigned int *count) { *count = 7; return check(d, 1); }
int nvmlDeviceGetMigDeviceHandleByIndex(device *d, unsigned int index, device **part) {
    (void)d;
    if (index != 0 && index != 2) return NOT_FOUND;
    *part = &slices[index / 2];
    return OK;
}
static int running(device *d, unsigned int *count, process *list) {
    int code = check(d, 1);
    if (code) return code;
    if (*count < 2 || !list) { *count = 2; return TOO_SMALL; }
    list[0] = (process){4711, 2 * GIB, 0, 0};
    list[1] = (process){4712, ~0ULL, 0, 0}; /* not told */
    *count = 2;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device *d, unsigned int *count, process *list) {
    return is("old") ? NO_FUNCTION : running(d, count, list);
}
int nvmlDeviceGetComputeRunningProcesses_v2(device *d, unsigned int *count, process *list) {
    return running(d, count, list);
}
