/* What operations take, and what their first phase leaves for the second. The operations themselves: see src/aclnn.rs. */
#ifndef VLM_ASCEND_ACLNN_H
#define VLM_ASCEND_ACLNN_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aclTensor aclTensor;
typedef struct aclScalar aclScalar;
typedef struct aclIntArray aclIntArray;
typedef struct aclFloatArray aclFloatArray;
typedef struct aclBoolArray aclBoolArray;
typedef struct aclTensorList aclTensorList;
typedef struct aclScalarList aclScalarList;
typedef struct aclOpExecutor aclOpExecutor;

typedef int32_t aclnnStatus;

static const aclnnStatus ACLNN_SUCCESS = 0;
static const aclnnStatus ACLNN_ERR_PARAM_NULLPTR = 161001;
static const aclnnStatus ACLNN_ERR_PARAM_INVALID = 161002;
static const aclnnStatus ACLNN_ERR_RUNTIME_ERROR = 361001;
static const aclnnStatus ACLNN_ERR_INNER = 561000;
static const aclnnStatus ACLNN_ERR_INNER_INFERSHAPE_ERROR = 561001;
static const aclnnStatus ACLNN_ERR_INNER_TILING_ERROR = 561002;
static const aclnnStatus ACLNN_ERR_INNER_FIND_KERNEL_ERROR = 561003;
static const aclnnStatus ACLNN_ERR_INNER_CREATE_EXECUTOR = 561101;
static const aclnnStatus ACLNN_ERR_INNER_NULLPTR = 561103;
static const aclnnStatus ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND = 561107;
static const aclnnStatus ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND = 561112;


aclnnStatus aclnnInit(const char *config);
aclnnStatus aclnnFinalize(void);

/* Tensors. Strides and offsets count elements. */
aclTensor *aclCreateTensor(const int64_t *dims, uint64_t rank, aclDataType type, const int64_t *strides,
                           int64_t offset, aclFormat format, const int64_t *storage_dims, uint64_t storage_rank,
                           void *storage);
aclnnStatus aclInitTensor(aclTensor *tensor, const int64_t *dims, uint64_t rank, aclDataType type,
                          const int64_t *strides, int64_t offset, aclFormat format, const int64_t *storage_dims,
                          uint64_t storage_rank, void *storage);
aclnnStatus aclDestroyTensor(const aclTensor *tensor);
aclnnStatus aclGetViewShape(const aclTensor *tensor, int64_t **dims, uint64_t *rank);
aclnnStatus aclGetViewStrides(const aclTensor *tensor, int64_t **strides, uint64_t *rank);
aclnnStatus aclGetViewOffset(const aclTensor *tensor, int64_t *offset);
aclnnStatus aclGetStorageShape(const aclTensor *tensor, int64_t **dims, uint64_t *rank);
aclnnStatus aclGetFormat(const aclTensor *tensor, aclFormat *format);
aclnnStatus aclGetDataType(const aclTensor *tensor, aclDataType *type);
aclnnStatus aclGetRawTensorAddr(const aclTensor *tensor, void **storage);
aclnnStatus aclSetRawTensorAddr(aclTensor *tensor, void *storage);
aclTensorList *aclCreateTensorList(const aclTensor *const *tensors, uint64_t count);
aclnnStatus aclDestroyTensorList(const aclTensorList *list);
aclnnStatus aclGetTensorListSize(const aclTensorList *list, uint64_t *count);

/* Scalars and arrays of the host. */
aclScalar *aclCreateScalar(void *value, aclDataType type);
aclnnStatus aclDestroyScalar(const aclScalar *scalar);
aclScalarList *aclCreateScalarList(const aclScalar *const *scalars, uint64_t count);
aclnnStatus aclDestroyScalarList(const aclScalarList *list);
aclIntArray *aclCreateIntArray(const int64_t *values, uint64_t count);
aclnnStatus aclDestroyIntArray(const aclIntArray *array);
aclnnStatus aclGetIntArraySize(const aclIntArray *array, uint64_t *count);
aclFloatArray *aclCreateFloatArray(const float *values, uint64_t count);
aclnnStatus aclDestroyFloatArray(const aclFloatArray *array);
aclnnStatus aclGetFloatArraySize(const aclFloatArray *array, uint64_t *count);
aclBoolArray *aclCreateBoolArray(const bool *values, uint64_t count);
aclnnStatus aclDestroyBoolArray(const aclBoolArray *array);
aclnnStatus aclGetBoolArraySize(const aclBoolArray *array, uint64_t *count);

/* Executors that are kept. */
aclnnStatus aclSetAclOpExecutorRepeatable(aclOpExecutor *executor);
aclnnStatus aclDestroyAclOpExecutor(aclOpExecutor *executor);
aclnnStatus aclSetTensorAddr(aclOpExecutor *executor, const size_t index, aclTensor *tensor, void *storage);
aclnnStatus aclSetInputTensorAddr(aclOpExecutor *executor, const size_t index, aclTensor *tensor, void *storage);
aclnnStatus aclSetOutputTensorAddr(aclOpExecutor *executor, const size_t index, aclTensor *tensor, void *storage);
aclnnStatus aclSetDynamicTensorAddr(aclOpExecutor *executor, const size_t index, const size_t member,
                                    aclTensorList *list, void *storage);
aclnnStatus aclSetDynamicInputTensorAddr(aclOpExecutor *executor, const size_t index, const size_t member,
                                         aclTensorList *list, void *storage);
aclnnStatus aclSetDynamicOutputTensorAddr(aclOpExecutor *executor, const size_t index, const size_t member,
                                          aclTensorList *list, void *storage);

/* The one operation that has one phase. */
aclnnStatus aclnnCalculateMatmulWeightSizeV2(const aclIntArray *dims, aclDataType type, uint64_t *elements);

#ifdef __cplusplus
}
#endif

#endif
