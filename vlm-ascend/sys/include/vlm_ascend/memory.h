/* Memory: of devices, of the host, mapped by hand, pooled by the runtime; copies. */
#ifndef VLM_ASCEND_MEMORY_H
#define VLM_ASCEND_MEMORY_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum aclrtMemMallocPolicy {
    ACL_MEM_MALLOC_HUGE_FIRST = 0,
    ACL_MEM_MALLOC_HUGE_ONLY = 1,
    ACL_MEM_MALLOC_NORMAL_ONLY = 2,
    ACL_MEM_MALLOC_HUGE_FIRST_P2P = 3,
    ACL_MEM_MALLOC_HUGE_ONLY_P2P = 4,
    ACL_MEM_MALLOC_NORMAL_ONLY_P2P = 5,
    ACL_MEM_MALLOC_HUGE1G_ONLY = 6,
    ACL_MEM_MALLOC_HUGE1G_ONLY_P2P = 7,
    ACL_MEM_TYPE_LOW_BAND_WIDTH = 0x0100,
    ACL_MEM_TYPE_HIGH_BAND_WIDTH = 0x1000
} aclrtMemMallocPolicy;

typedef enum aclrtMemAttr {
    ACL_DDR_MEM = 0,
    ACL_HBM_MEM = 1,
    ACL_DDR_MEM_HUGE = 2,
    ACL_DDR_MEM_NORMAL = 3,
    ACL_HBM_MEM_HUGE = 4,
    ACL_HBM_MEM_NORMAL = 5,
    ACL_DDR_MEM_P2P_HUGE = 6,
    ACL_DDR_MEM_P2P_NORMAL = 7,
    ACL_HBM_MEM_P2P_HUGE = 8,
    ACL_HBM_MEM_P2P_NORMAL = 9,
    ACL_HBM_MEM_HUGE1G = 10,
    ACL_HBM_MEM_P2P_HUGE1G = 11
} aclrtMemAttr;

typedef enum aclrtMemcpyKind {
    ACL_MEMCPY_HOST_TO_HOST = 0,
    ACL_MEMCPY_HOST_TO_DEVICE = 1,
    ACL_MEMCPY_DEVICE_TO_HOST = 2,
    ACL_MEMCPY_DEVICE_TO_DEVICE = 3,
    ACL_MEMCPY_DEFAULT = 4,
    ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE = 5,
    ACL_MEMCPY_INNER_DEVICE_TO_DEVICE = 6,
    ACL_MEMCPY_INTER_DEVICE_TO_DEVICE = 7
} aclrtMemcpyKind;

typedef enum {
    ACL_HOST_REGISTER_MAPPED = 0,
    ACL_HOST_REGISTER_IOMEMORY = 0x04,
    ACL_HOST_REGISTER_READONLY = 0x08
} aclrtHostRegisterType;

/* Of a device. */
aclError aclrtMalloc(void **memory, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtMallocAlign32(void **memory, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtMallocCached(void **memory, size_t size, aclrtMemMallocPolicy policy);
aclError aclrtMemFlush(void *memory, size_t size);
aclError aclrtMemInvalidate(void *memory, size_t size);
aclError aclrtFree(void *memory);
aclError aclrtFreeWithDevSync(void *memory);
aclError aclrtGetMemInfo(aclrtMemAttr attribute, size_t *free, size_t *total);

/* Of the host. */
aclError aclrtMallocHost(void **memory, size_t size);
aclError aclrtFreeHost(void *memory);
aclError aclrtFreeHostWithDevSync(void *memory);
aclError aclrtHostRegister(void *memory, uint64_t size, aclrtHostRegisterType type, void **on_device);
aclError aclrtHostUnregister(void *memory);

/* Copies and fills. */
aclError aclrtMemcpy(void *to, size_t room, const void *from, size_t size, aclrtMemcpyKind kind);
aclError aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t size, aclrtMemcpyKind kind,
                          aclrtStream stream);
aclError aclrtMemcpyAsyncWithCondition(void *to, size_t room, const void *from, size_t size, aclrtMemcpyKind kind,
                                       aclrtStream stream);
aclError aclrtMemcpy2d(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                       aclrtMemcpyKind kind);
aclError aclrtMemcpy2dAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                            size_t height, aclrtMemcpyKind kind, aclrtStream stream);
aclError aclrtMemset(void *memory, size_t room, int32_t value, size_t size);
aclError aclrtMemsetAsync(void *memory, size_t room, int32_t value, size_t size, aclrtStream stream);

/* Addresses and pages apart. */
typedef enum aclrtMemHandleType { ACL_MEM_HANDLE_TYPE_NONE = 0, ACL_MEM_HANDLE_TYPE_POSIX = 2 } aclrtMemHandleType;
typedef enum aclrtMemAllocationType { ACL_MEM_ALLOCATION_TYPE_PINNED = 0 } aclrtMemAllocationType;
typedef enum aclrtMemLocationType {
    ACL_MEM_LOCATION_TYPE_HOST = 0,
    ACL_MEM_LOCATION_TYPE_DEVICE = 1,
    ACL_MEM_LOCATION_TYPE_UNREGISTERED = 2,
    ACL_MEM_LOCATION_TYPE_HOST_NUMA = 4
} aclrtMemLocationType;
typedef enum aclrtMemGranularityOptions {
    ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM = 0,
    ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED = 1,
    ACL_RT_MEM_ALLOC_GRANULARITY_UNDEF = 0xFFFF
} aclrtMemGranularityOptions;

typedef struct aclrtMemLocation {
    uint32_t id;
    aclrtMemLocationType type;
} aclrtMemLocation;

typedef struct aclrtPhysicalMemProp {
    aclrtMemHandleType handleType;
    aclrtMemAllocationType allocationType;
    aclrtMemAttr memAttr;
    aclrtMemLocation location;
    uint64_t reserve;
} aclrtPhysicalMemProp;

aclError aclrtMemGetAllocationGranularity(aclrtPhysicalMemProp *properties, aclrtMemGranularityOptions option,
                                          size_t *granularity);
aclError aclrtReserveMemAddress(void **address, size_t size, size_t alignment, void *wish, uint64_t flags);
aclError aclrtReleaseMemAddress(void *address);
aclError aclrtMallocPhysical(aclrtDrvMemHandle *pages, size_t size, const aclrtPhysicalMemProp *properties,
                             uint64_t flags);
aclError aclrtFreePhysical(aclrtDrvMemHandle pages);
aclError aclrtMapMem(void *address, size_t size, size_t offset, aclrtDrvMemHandle pages, uint64_t flags);
aclError aclrtUnmapMem(void *address);
aclError aclrtMemExportToShareableHandle(aclrtDrvMemHandle pages, aclrtMemHandleType type, uint64_t flags,
                                         uint64_t *shared);
aclError aclrtMemImportFromShareableHandle(uint64_t shared, int32_t device, aclrtDrvMemHandle *pages);
aclError aclrtMemSetPidToShareableHandle(uint64_t shared, int32_t *processes, size_t count);

/* Pools in the order of streams. */
typedef enum aclrtMemPoolAttr {
    ACL_RT_MEM_POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES = 1,
    ACL_RT_MEM_POOL_REUSE_ALLOW_OPPORTUNISTIC = 2,
    ACL_RT_MEM_POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES = 3,
    ACL_RT_MEM_POOL_ATTR_RELEASE_THRESHOLD = 4,
    ACL_RT_MEM_POOL_ATTR_RESERVED_MEM_CURRENT = 5,
    ACL_RT_MEM_POOL_ATTR_RESERVED_MEM_HIGH = 6,
    ACL_RT_MEM_POOL_ATTR_USED_MEM_CURRENT = 7,
    ACL_RT_MEM_POOL_ATTR_USED_MEM_HIGH = 8
} aclrtMemPoolAttr;

typedef struct {
    aclrtMemAllocationType allocType;
    aclrtMemHandleType handleType;
    aclrtMemLocation location;
    size_t maxSize;
    uint8_t reserved[32];
} aclrtMemPoolProps;

aclError aclrtMemPoolCreate(aclrtMemPool *pool, const aclrtMemPoolProps *properties);
aclError aclrtMemPoolDestroy(const aclrtMemPool pool);
aclError aclrtMemPoolSetAttr(aclrtMemPool pool, aclrtMemPoolAttr attribute, void *value);
aclError aclrtMemPoolGetAttr(aclrtMemPool pool, aclrtMemPoolAttr attribute, void *value);
aclError aclrtMemPoolMallocAsync(void **memory, size_t size, aclrtMemPool pool, aclrtStream stream);
aclError aclrtMemPoolFreeAsync(void *memory, aclrtStream stream);
aclError aclrtMemPoolTrimTo(aclrtMemPool pool, size_t keep);

#ifdef __cplusplus
}
#endif

#endif
