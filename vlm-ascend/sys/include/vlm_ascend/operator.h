/* The way to run operations that was there before aclnn. torch_npu's library asks for it when it is loaded. */
#ifndef VLM_ASCEND_OPERATOR_H
#define VLM_ASCEND_OPERATOR_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aclopAttr aclopAttr;

typedef enum aclEngineType { ACL_ENGINE_SYS = 0, ACL_ENGINE_AICORE = 1, ACL_ENGINE_VECTOR = 2 } aclopEngineType;
typedef enum aclCompileType { ACL_COMPILE_SYS = 0, ACL_COMPILE_UNREGISTERED = 1 } aclopCompileType;

typedef enum {
    ACL_PRECISION_MODE = 0,
    ACL_AICORE_NUM = 1,
    ACL_OP_SELECT_IMPL_MODE = 3,
    ACL_OP_JIT_COMPILE = 10,
    ACL_OP_DETERMINISTIC = 11,
    ACL_OP_PRECISION_MODE = 13,
    ACL_ALLOW_HF32 = 14,
    ACL_PRECISION_MODE_V2 = 15
} aclCompileOpt;

aclError aclSetCompileopt(aclCompileOpt option, const char *value);
aclopAttr *aclopCreateAttr(void);
void aclopDestroyAttr(const aclopAttr *attributes);
aclError aclopSetAttrBool(aclopAttr *attributes, const char *name, uint8_t value);
aclError aclopSetAttrInt(aclopAttr *attributes, const char *name, int64_t value);
aclError aclopSetAttrFloat(aclopAttr *attributes, const char *name, float value);
aclError aclopSetAttrString(aclopAttr *attributes, const char *name, const char *value);
aclError aclopSetAttrDataType(aclopAttr *attributes, const char *name, aclDataType value);
aclError aclopSetAttrListBool(aclopAttr *attributes, const char *name, int count, const uint8_t *values);
aclError aclopSetAttrListInt(aclopAttr *attributes, const char *name, int count, const int64_t *values);
aclError aclopSetAttrListFloat(aclopAttr *attributes, const char *name, int count, const float *values);
aclError aclopSetAttrListListInt(aclopAttr *attributes, const char *name, int lists, const int *counts,
                                 const int64_t *const values[]);
aclError aclopCompileAndExecute(const char *operation, int inputs, const aclTensorDesc *const input_descs[],
                                const aclDataBuffer *const input_buffers[], int outputs,
                                const aclTensorDesc *const output_descs[], aclDataBuffer *const output_buffers[],
                                const aclopAttr *attributes, aclopEngineType engine, aclopCompileType compile,
                                const char *path, aclrtStream stream);

/* The profiler, which torch_npu's library asks for too. */
struct MsprofApi;
typedef int32_t (*ProfCommandHandle)(uint32_t type, void *data, uint32_t size);

int32_t MsprofRegisterCallback(uint32_t module, ProfCommandHandle handle);
int32_t MsprofReportApi(uint32_t transient, const struct MsprofApi *api);
int32_t MsprofReportCompactInfo(uint32_t transient, void *const data, uint32_t size);
int32_t MsprofReportAdditionalInfo(uint32_t transient, void *const data, uint32_t size);
uint64_t MsprofGetHashId(const char *text, size_t size);
uint64_t MsprofSysCycleTime(void);

#ifdef __cplusplus
}
#endif

#endif
