//! Types, constants and functions of AscendCL, the base of aclnn and HCCL.
// Made by `cargo xtask regenerate` from include/vlm_ascend.h: change that.

use std::ffi::{c_char, c_int, c_void};

pub type aclrtContext = *mut c_void;
pub type aclrtStream = *mut c_void;
pub type aclrtEvent = *mut c_void;
pub type aclrtNotify = *mut c_void;
pub type aclrtDrvMemHandle = *mut c_void;
pub type aclrtMemPool = *mut c_void;
pub type aclrtTaskGrp = *mut c_void;
pub type aclmdlRI = *mut c_void;
pub type aclError = c_int;
pub type aclFloat16 = u16;
pub type aclDataType = c_int;
pub type aclFormat = c_int;
pub type aclLogLevel = c_int;
pub type aclSysParamOpt = c_int;
pub type aclCannAttr = c_int;
pub type aclDeviceInfo = c_int;
pub type aclrtDevAttr = c_int;
pub type aclCANNPackageName = c_int;
pub type aclrtRunMode = c_int;
pub type aclrtLastErrLevel = c_int;
pub type aclrtDeviceStatus = c_int;
pub type aclrtFloatOverflowMode = c_int;
pub type aclrtStreamStatus = c_int;
pub type aclrtEventRecordedStatus = c_int;
pub type aclrtEventWaitStatus = c_int;
pub type aclrtCallbackBlockType = c_int;
pub type aclrtCallback = ::std::option::Option<
    unsafe extern "C" fn(data: *mut c_void),
>;
pub type aclrtHostFunc = ::std::option::Option<
    unsafe extern "C" fn(data: *mut c_void),
>;
pub type aclrtMemMallocPolicy = c_int;
pub type aclrtMemAttr = c_int;
pub type aclrtMemcpyKind = c_int;
pub type aclrtHostRegisterType = c_int;
pub type aclrtMemHandleType = c_int;
pub type aclrtMemAllocationType = c_int;
pub type aclrtMemLocationType = c_int;
pub type aclrtMemGranularityOptions = c_int;
pub type aclrtMemPoolAttr = c_int;
pub type aclmdlRICaptureMode = c_int;
pub type aclmdlRICaptureStatus = c_int;
pub type aclnnStatus = i32;
pub type aclMemType = c_int;
pub type aclEngineType = c_int;
pub type aclCompileType = c_int;
pub type aclCompileOpt = c_int;
pub type ProfCommandHandle = ::std::option::Option<
    unsafe extern "C" fn(type_: u32, data: *mut c_void, size: u32) -> i32,
>;
pub type HcclComm = *mut c_void;
pub type HcclRootInfo = HcclRootInfoDef;
pub type HcclResult = c_int;
pub type HcclReduceOp = c_int;
pub type HcclDataType = c_int;
pub type HcclSendRecvType = c_int;
pub type HcclSendRecvItem = HcclSendRecvItemDef;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclCANNPackageVersion {
    pub version: [c_char; 128usize],
    pub majorVersion: [c_char; 64usize],
    pub minorVersion: [c_char; 64usize],
    pub releaseVersion: [c_char; 64usize],
    pub patchVersion: [c_char; 64usize],
    pub reserved: [c_char; 128usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclrtMemLocation {
    pub id: u32,
    pub type_: aclrtMemLocationType,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclrtPhysicalMemProp {
    pub handleType: aclrtMemHandleType,
    pub allocationType: aclrtMemAllocationType,
    pub memAttr: aclrtMemAttr,
    pub location: aclrtMemLocation,
    pub reserve: u64,
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclrtMemPoolProps {
    pub allocType: aclrtMemAllocationType,
    pub handleType: aclrtMemHandleType,
    pub location: aclrtMemLocation,
    pub maxSize: usize,
    pub reserved: [u8; 32usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclTensor {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclScalar {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclIntArray {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclFloatArray {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclBoolArray {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclTensorList {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclScalarList {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclOpExecutor {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclDataBuffer {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclTensorDesc {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclmdlDesc {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclmdlDataset {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclmdlIODims {
    pub name: [c_char; 128usize],
    pub dimCount: usize,
    pub dims: [i64; 128usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclmdlIODimsRange {
    pub rangeCount: usize,
    pub range: [[i64; 2usize]; 128usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclmdlBatch {
    pub batchCount: usize,
    pub batch: [u64; 128usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclmdlHW {
    pub hwCount: usize,
    pub hw: [[u64; 2usize]; 128usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct aclopAttr {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct MsprofApi {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct HcclRootInfoDef {
    pub internal: [c_char; 4108usize],
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct HcclSendRecvItemDef {
    pub sendRecvType: HcclSendRecvType,
    pub buf: *mut c_void,
    pub count: u64,
    pub dataType: HcclDataType,
    pub remoteRank: u32,
}
pub const ACL_PKG_VERSION_MAX_SIZE: u32 = 128;
pub const ACL_PKG_VERSION_PARTS_MAX_SIZE: u32 = 64;
pub const ACL_MAX_DIM_CNT: u32 = 128;
pub const ACL_MAX_TENSOR_NAME_LEN: u32 = 128;
pub const ACL_MAX_BATCH_NUM: u32 = 128;
pub const ACL_MAX_HW_NUM: u32 = 128;
pub const ACL_DIM_ENDPOINTS: u32 = 2;
pub const ACL_DYNAMIC_TENSOR_NAME: &::std::ffi::CStr = c"ascend_mbatch_shape_data";
pub const ACL_DYNAMIC_AIPP_NAME: &::std::ffi::CStr = c"ascend_dynamic_aipp_data";
pub const HCCL_ROOT_INFO_BYTES: u32 = 4108;
pub const ACL_DT_UNDEFINED: aclDataType = -1;
pub const ACL_FLOAT: aclDataType = 0;
pub const ACL_FLOAT16: aclDataType = 1;
pub const ACL_INT8: aclDataType = 2;
pub const ACL_INT32: aclDataType = 3;
pub const ACL_UINT8: aclDataType = 4;
pub const ACL_INT16: aclDataType = 6;
pub const ACL_UINT16: aclDataType = 7;
pub const ACL_UINT32: aclDataType = 8;
pub const ACL_INT64: aclDataType = 9;
pub const ACL_UINT64: aclDataType = 10;
pub const ACL_DOUBLE: aclDataType = 11;
pub const ACL_BOOL: aclDataType = 12;
pub const ACL_STRING: aclDataType = 13;
pub const ACL_COMPLEX64: aclDataType = 16;
pub const ACL_COMPLEX128: aclDataType = 17;
pub const ACL_BF16: aclDataType = 27;
pub const ACL_INT4: aclDataType = 29;
pub const ACL_UINT1: aclDataType = 30;
pub const ACL_COMPLEX32: aclDataType = 33;
pub const ACL_HIFLOAT8: aclDataType = 34;
pub const ACL_FLOAT8_E5M2: aclDataType = 35;
pub const ACL_FLOAT8_E4M3FN: aclDataType = 36;
pub const ACL_FLOAT8_E8M0: aclDataType = 37;
pub const ACL_FORMAT_UNDEFINED: aclFormat = -1;
pub const ACL_FORMAT_NCHW: aclFormat = 0;
pub const ACL_FORMAT_NHWC: aclFormat = 1;
pub const ACL_FORMAT_ND: aclFormat = 2;
pub const ACL_FORMAT_NC1HWC0: aclFormat = 3;
pub const ACL_FORMAT_FRACTAL_Z: aclFormat = 4;
pub const ACL_FORMAT_NC1HWC0_C04: aclFormat = 12;
pub const ACL_FORMAT_HWCN: aclFormat = 16;
pub const ACL_FORMAT_NDHWC: aclFormat = 27;
pub const ACL_FORMAT_FRACTAL_NZ: aclFormat = 29;
pub const ACL_FORMAT_NCDHW: aclFormat = 30;
pub const ACL_FORMAT_NDC1HWC0: aclFormat = 32;
pub const ACL_FRACTAL_Z_3D: aclFormat = 33;
pub const ACL_FORMAT_NC: aclFormat = 35;
pub const ACL_FORMAT_NCL: aclFormat = 47;
pub const ACL_SUCCESS: aclError = 0;
pub const ACL_ERROR_NONE: aclError = 0;
pub const ACL_ERROR_INVALID_PARAM: aclError = 100000;
pub const ACL_ERROR_UNINITIALIZE: aclError = 100001;
pub const ACL_ERROR_REPEAT_INITIALIZE: aclError = 100002;
pub const ACL_ERROR_INVALID_FILE: aclError = 100003;
pub const ACL_ERROR_PARSE_FILE: aclError = 100006;
pub const ACL_ERROR_INVALID_MODEL_ID: aclError = 100011;
pub const ACL_ERROR_PARSE_MODEL: aclError = 100013;
pub const ACL_ERROR_READ_MODEL_FAILURE: aclError = 100014;
pub const ACL_ERROR_MODEL_SIZE_INVALID: aclError = 100015;
pub const ACL_ERROR_MODEL_INPUT_NOT_MATCH: aclError = 100017;
pub const ACL_ERROR_MODEL_OUTPUT_NOT_MATCH: aclError = 100018;
pub const ACL_ERROR_MODEL_NOT_DYNAMIC: aclError = 100019;
pub const ACL_ERROR_OP_NOT_FOUND: aclError = 100024;
pub const ACL_ERROR_UNSUPPORTED_DATA_TYPE: aclError = 100026;
pub const ACL_ERROR_FORMAT_NOT_MATCH: aclError = 100027;
pub const ACL_ERROR_WAIT_CALLBACK_TIMEOUT: aclError = 100036;
pub const ACL_ERROR_REPEAT_FINALIZE: aclError = 100037;
pub const ACL_ERROR_COMPILING_STUB_MODE: aclError = 100039;
pub const ACL_ERROR_BAD_ALLOC: aclError = 200000;
pub const ACL_ERROR_API_NOT_SUPPORT: aclError = 200001;
pub const ACL_ERROR_INVALID_DEVICE: aclError = 200002;
pub const ACL_ERROR_MEMORY_ADDRESS_UNALIGNED: aclError = 200003;
pub const ACL_ERROR_RESOURCE_NOT_MATCH: aclError = 200004;
pub const ACL_ERROR_INVALID_RESOURCE_HANDLE: aclError = 200005;
pub const ACL_ERROR_FEATURE_UNSUPPORTED: aclError = 200006;
pub const ACL_ERROR_STORAGE_OVER_LIMIT: aclError = 300000;
pub const ACL_ERROR_INTERNAL_ERROR: aclError = 500000;
pub const ACL_ERROR_FAILURE: aclError = 500001;
pub const ACL_ERROR_GE_FAILURE: aclError = 500002;
pub const ACL_ERROR_RT_FAILURE: aclError = 500003;
pub const ACL_ERROR_DRV_FAILURE: aclError = 500004;
pub const ACL_ERROR_RT_PARAM_INVALID: aclError = 107000;
pub const ACL_ERROR_RT_INVALID_DEVICEID: aclError = 107001;
pub const ACL_ERROR_RT_CONTEXT_NULL: aclError = 107002;
pub const ACL_ERROR_RT_STREAM_CONTEXT: aclError = 107003;
pub const ACL_ERROR_RT_MODEL_CONTEXT: aclError = 107004;
pub const ACL_ERROR_RT_STREAM_MODEL: aclError = 107005;
pub const ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID: aclError = 107006;
pub const ACL_ERROR_RT_ADDR_UNALIGNED: aclError = 107008;
pub const ACL_ERROR_RT_INVALID_MEMORY_TYPE: aclError = 107016;
pub const ACL_ERROR_RT_INVALID_HANDLE: aclError = 107017;
pub const ACL_ERROR_RT_INVALID_MALLOC_TYPE: aclError = 107018;
pub const ACL_ERROR_RT_WAIT_TIMEOUT: aclError = 107019;
pub const ACL_ERROR_RT_TASK_TIMEOUT: aclError = 107020;
pub const ACL_ERROR_RT_SYSPARAMOPT_NOT_SET: aclError = 107021;
pub const ACL_ERROR_RT_DEVICE_TASK_ABORT: aclError = 107022;
pub const ACL_ERROR_RT_STREAM_ABORT: aclError = 107023;
pub const ACL_ERROR_RT_CAPTURE_DEPENDENCY: aclError = 107024;
pub const ACL_ERROR_RT_STREAM_UNJOINED: aclError = 107025;
pub const ACL_ERROR_RT_MODEL_CAPTURED: aclError = 107026;
pub const ACL_ERROR_RT_STREAM_CAPTURED: aclError = 107027;
pub const ACL_ERROR_RT_EVENT_CAPTURED: aclError = 107028;
pub const ACL_ERROR_RT_STREAM_NOT_CAPTURED: aclError = 107029;
pub const ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT: aclError = 107030;
pub const ACL_ERROR_RT_STREAM_CAPTURE_IMPLICIT: aclError = 107031;
pub const ACL_ERROR_STREAM_CAPTURE_CONFLICT: aclError = 107032;
pub const ACL_ERROR_STREAM_TASK_GROUP_STATUS: aclError = 107033;
pub const ACL_ERROR_STREAM_TASK_GROUP_INTR: aclError = 107034;
pub const ACL_ERROR_RT_STREAM_CAPTURE_UNMATCHED: aclError = 107036;
pub const ACL_ERROR_RT_MODEL_RUNNING: aclError = 107037;
pub const ACL_ERROR_RT_STREAM_CAPTURE_WRONG_THREAD: aclError = 107038;
pub const ACL_ERROR_RT_FEATURE_NOT_SUPPORT: aclError = 207000;
pub const ACL_ERROR_RT_MEMORY_ALLOCATION: aclError = 207001;
pub const ACL_ERROR_RT_MEMORY_FREE: aclError = 207002;
pub const ACL_ERROR_RT_AICORE_OVER_FLOW: aclError = 207003;
pub const ACL_ERROR_RT_NO_DEVICE: aclError = 207004;
pub const ACL_ERROR_RT_RESOURCE_ALLOC_FAIL: aclError = 207005;
pub const ACL_ERROR_RT_NO_PERMISSION: aclError = 207006;
pub const ACL_ERROR_RT_NO_EVENT_RESOURCE: aclError = 207007;
pub const ACL_ERROR_RT_NO_STREAM_RESOURCE: aclError = 207008;
pub const ACL_ERROR_RT_OVER_LIMIT: aclError = 207012;
pub const ACL_ERROR_RT_OVER_FLOW: aclError = 207017;
pub const ACL_ERROR_RT_DEVICE_OOM: aclError = 207018;
pub const ACL_ERROR_RT_INTERNAL_ERROR: aclError = 507000;
pub const ACL_ERROR_RT_STREAM_TASK_FULL: aclError = 507002;
pub const ACL_ERROR_RT_LOST_HEARTBEAT: aclError = 507010;
pub const ACL_ERROR_RT_MODEL_EXECUTE: aclError = 507011;
pub const ACL_ERROR_RT_REPORT_TIMEOUT: aclError = 507012;
pub const ACL_ERROR_RT_AICORE_TIMEOUT: aclError = 507014;
pub const ACL_ERROR_RT_AICORE_EXCEPTION: aclError = 507015;
pub const ACL_ERROR_RT_AICORE_TRAP_EXCEPTION: aclError = 507016;
pub const ACL_ERROR_RT_AICPU_TIMEOUT: aclError = 507017;
pub const ACL_ERROR_RT_AICPU_EXCEPTION: aclError = 507018;
pub const ACL_ERROR_RT_DEV_SETUP_ERROR: aclError = 507033;
pub const ACL_ERROR_RT_VECTOR_CORE_TIMEOUT: aclError = 507034;
pub const ACL_ERROR_RT_VECTOR_CORE_EXCEPTION: aclError = 507035;
pub const ACL_ERROR_RT_STREAM_SYNC_TIMEOUT: aclError = 507046;
pub const ACL_ERROR_RT_EVENT_SYNC_TIMEOUT: aclError = 507047;
pub const ACL_ERROR_RT_DEVICE_MEM_ERROR: aclError = 507053;
pub const ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR: aclError = 507054;
pub const ACL_ERROR_RT_SUSPECT_DEVICE_MEM_ERROR: aclError = 507055;
pub const ACL_ERROR_RT_LINK_ERROR: aclError = 507056;
pub const ACL_ERROR_RT_SUSPECT_REMOTE_ERROR: aclError = 507057;
pub const ACL_ERROR_RT_DRV_INTERNAL_ERROR: aclError = 507899;
pub const ACL_ERROR_RT_AICPU_INTERNAL_ERROR: aclError = 507900;
pub const ACL_ERROR_RT_SOCKET_CLOSE: aclError = 507901;
pub const ACL_ERROR_RT_STREAM_CAPTURE_INVALIDATED: aclError = 507903;
pub const ACL_ERROR_RT_COMM_OP_RETRY_FAIL: aclError = 507904;
pub const ACL_DEBUG: aclLogLevel = 0;
pub const ACL_INFO: aclLogLevel = 1;
pub const ACL_WARNING: aclLogLevel = 2;
pub const ACL_ERROR: aclLogLevel = 3;
pub const ACL_OPT_DETERMINISTIC: aclSysParamOpt = 0;
pub const ACL_OPT_ENABLE_DEBUG_KERNEL: aclSysParamOpt = 1;
pub const ACL_OPT_STRONG_CONSISTENCY: aclSysParamOpt = 2;
pub const ACL_CANN_ATTR_UNDEFINED: aclCannAttr = -1;
pub const ACL_CANN_ATTR_INF_NAN: aclCannAttr = 0;
pub const ACL_CANN_ATTR_BF16: aclCannAttr = 1;
pub const ACL_CANN_ATTR_JIT_COMPILE: aclCannAttr = 2;
pub const ACL_DEVICE_INFO_UNDEFINED: aclDeviceInfo = -1;
pub const ACL_DEVICE_INFO_AI_CORE_NUM: aclDeviceInfo = 0;
pub const ACL_DEVICE_INFO_VECTOR_CORE_NUM: aclDeviceInfo = 1;
pub const ACL_DEVICE_INFO_L2_SIZE: aclDeviceInfo = 2;
pub const ACL_DEV_ATTR_AICPU_CORE_NUM: aclrtDevAttr = 1;
pub const ACL_DEV_ATTR_AICORE_CORE_NUM: aclrtDevAttr = 101;
pub const ACL_DEV_ATTR_CUBE_CORE_NUM: aclrtDevAttr = 102;
pub const ACL_DEV_ATTR_VECTOR_CORE_NUM: aclrtDevAttr = 201;
pub const ACL_DEV_ATTR_TOTAL_GLOBAL_MEM_SIZE: aclrtDevAttr = 301;
pub const ACL_DEV_ATTR_L2_CACHE_SIZE: aclrtDevAttr = 302;
pub const ACL_DEV_ATTR_PHY_CHIP_ID: aclrtDevAttr = 402;
pub const ACL_DEV_ATTR_IS_VIRTUAL: aclrtDevAttr = 501;
pub const ACL_PKG_NAME_CANN: aclCANNPackageName = 0;
pub const ACL_PKG_NAME_RUNTIME: aclCANNPackageName = 1;
pub const ACL_PKG_NAME_COMPILER: aclCANNPackageName = 2;
pub const ACL_PKG_NAME_HCCL: aclCANNPackageName = 3;
pub const ACL_PKG_NAME_TOOLKIT: aclCANNPackageName = 4;
pub const ACL_PKG_NAME_OPP: aclCANNPackageName = 5;
pub const ACL_PKG_NAME_OPP_KERNEL: aclCANNPackageName = 6;
pub const ACL_PKG_NAME_DRIVER: aclCANNPackageName = 7;
pub const ACL_DEVICE: aclrtRunMode = 0;
pub const ACL_HOST: aclrtRunMode = 1;
pub const ACL_RT_THREAD_LEVEL: aclrtLastErrLevel = 0;
pub const ACL_RT_DEVICE_STATUS_NORMAL: aclrtDeviceStatus = 0;
pub const ACL_RT_DEVICE_STATUS_ABNORMAL: aclrtDeviceStatus = 1;
pub const ACL_RT_DEVICE_STATUS_END: aclrtDeviceStatus = 65535;
pub const ACL_RT_OVERFLOW_MODE_SATURATION: aclrtFloatOverflowMode = 0;
pub const ACL_RT_OVERFLOW_MODE_INFNAN: aclrtFloatOverflowMode = 1;
pub const ACL_RT_OVERFLOW_MODE_UNDEF: aclrtFloatOverflowMode = 2;
pub const ACL_STREAM_FAST_LAUNCH: u32 = 1;
pub const ACL_STREAM_FAST_SYNC: u32 = 2;
pub const ACL_STREAM_PERSISTENT: u32 = 4;
pub const ACL_STREAM_HUGE: u32 = 8;
pub const ACL_STREAM_CPU_SCHEDULE: u32 = 16;
pub const ACL_STREAM_DEVICE_USE_ONLY: u32 = 32;
pub const ACL_CONTINUE_ON_FAILURE: u64 = 0;
pub const ACL_STOP_ON_FAILURE: u64 = 1;
pub const ACL_STREAM_STATUS_COMPLETE: aclrtStreamStatus = 0;
pub const ACL_STREAM_STATUS_NOT_READY: aclrtStreamStatus = 1;
pub const ACL_STREAM_STATUS_RESERVED: aclrtStreamStatus = 65535;
pub const ACL_EVENT_SYNC: u32 = 1;
pub const ACL_EVENT_CAPTURE_STREAM_PROGRESS: u32 = 2;
pub const ACL_EVENT_TIME_LINE: u32 = 8;
pub const ACL_EVENT_DEVICE_USE_ONLY: u32 = 16;
pub const ACL_EVENT_EXTERNAL: u32 = 32;
pub const ACL_EVENT_IPC: u32 = 64;
pub const ACL_EVENT_RECORDED_STATUS_NOT_READY: aclrtEventRecordedStatus = 0;
pub const ACL_EVENT_RECORDED_STATUS_COMPLETE: aclrtEventRecordedStatus = 1;
pub const ACL_EVENT_WAIT_STATUS_COMPLETE: aclrtEventWaitStatus = 0;
pub const ACL_EVENT_WAIT_STATUS_NOT_READY: aclrtEventWaitStatus = 1;
pub const ACL_EVENT_WAIT_STATUS_RESERVED: aclrtEventWaitStatus = 65535;
pub const ACL_CALLBACK_NO_BLOCK: aclrtCallbackBlockType = 0;
pub const ACL_CALLBACK_BLOCK: aclrtCallbackBlockType = 1;
pub const ACL_MEM_MALLOC_HUGE_FIRST: aclrtMemMallocPolicy = 0;
pub const ACL_MEM_MALLOC_HUGE_ONLY: aclrtMemMallocPolicy = 1;
pub const ACL_MEM_MALLOC_NORMAL_ONLY: aclrtMemMallocPolicy = 2;
pub const ACL_MEM_MALLOC_HUGE_FIRST_P2P: aclrtMemMallocPolicy = 3;
pub const ACL_MEM_MALLOC_HUGE_ONLY_P2P: aclrtMemMallocPolicy = 4;
pub const ACL_MEM_MALLOC_NORMAL_ONLY_P2P: aclrtMemMallocPolicy = 5;
pub const ACL_MEM_MALLOC_HUGE1G_ONLY: aclrtMemMallocPolicy = 6;
pub const ACL_MEM_MALLOC_HUGE1G_ONLY_P2P: aclrtMemMallocPolicy = 7;
pub const ACL_MEM_TYPE_LOW_BAND_WIDTH: aclrtMemMallocPolicy = 256;
pub const ACL_MEM_TYPE_HIGH_BAND_WIDTH: aclrtMemMallocPolicy = 4096;
pub const ACL_DDR_MEM: aclrtMemAttr = 0;
pub const ACL_HBM_MEM: aclrtMemAttr = 1;
pub const ACL_DDR_MEM_HUGE: aclrtMemAttr = 2;
pub const ACL_DDR_MEM_NORMAL: aclrtMemAttr = 3;
pub const ACL_HBM_MEM_HUGE: aclrtMemAttr = 4;
pub const ACL_HBM_MEM_NORMAL: aclrtMemAttr = 5;
pub const ACL_DDR_MEM_P2P_HUGE: aclrtMemAttr = 6;
pub const ACL_DDR_MEM_P2P_NORMAL: aclrtMemAttr = 7;
pub const ACL_HBM_MEM_P2P_HUGE: aclrtMemAttr = 8;
pub const ACL_HBM_MEM_P2P_NORMAL: aclrtMemAttr = 9;
pub const ACL_HBM_MEM_HUGE1G: aclrtMemAttr = 10;
pub const ACL_HBM_MEM_P2P_HUGE1G: aclrtMemAttr = 11;
pub const ACL_MEMCPY_HOST_TO_HOST: aclrtMemcpyKind = 0;
pub const ACL_MEMCPY_HOST_TO_DEVICE: aclrtMemcpyKind = 1;
pub const ACL_MEMCPY_DEVICE_TO_HOST: aclrtMemcpyKind = 2;
pub const ACL_MEMCPY_DEVICE_TO_DEVICE: aclrtMemcpyKind = 3;
pub const ACL_MEMCPY_DEFAULT: aclrtMemcpyKind = 4;
pub const ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE: aclrtMemcpyKind = 5;
pub const ACL_MEMCPY_INNER_DEVICE_TO_DEVICE: aclrtMemcpyKind = 6;
pub const ACL_MEMCPY_INTER_DEVICE_TO_DEVICE: aclrtMemcpyKind = 7;
pub const ACL_HOST_REGISTER_MAPPED: aclrtHostRegisterType = 0;
pub const ACL_HOST_REGISTER_IOMEMORY: aclrtHostRegisterType = 4;
pub const ACL_HOST_REGISTER_READONLY: aclrtHostRegisterType = 8;
pub const ACL_MEM_HANDLE_TYPE_NONE: aclrtMemHandleType = 0;
pub const ACL_MEM_HANDLE_TYPE_POSIX: aclrtMemHandleType = 2;
pub const ACL_MEM_ALLOCATION_TYPE_PINNED: aclrtMemAllocationType = 0;
pub const ACL_MEM_LOCATION_TYPE_HOST: aclrtMemLocationType = 0;
pub const ACL_MEM_LOCATION_TYPE_DEVICE: aclrtMemLocationType = 1;
pub const ACL_MEM_LOCATION_TYPE_UNREGISTERED: aclrtMemLocationType = 2;
pub const ACL_MEM_LOCATION_TYPE_HOST_NUMA: aclrtMemLocationType = 4;
pub const ACL_RT_MEM_ALLOC_GRANULARITY_MINIMUM: aclrtMemGranularityOptions = 0;
pub const ACL_RT_MEM_ALLOC_GRANULARITY_RECOMMENDED: aclrtMemGranularityOptions = 1;
pub const ACL_RT_MEM_ALLOC_GRANULARITY_UNDEF: aclrtMemGranularityOptions = 65535;
pub const ACL_RT_MEM_POOL_REUSE_FOLLOW_EVENT_DEPENDENCIES: aclrtMemPoolAttr = 1;
pub const ACL_RT_MEM_POOL_REUSE_ALLOW_OPPORTUNISTIC: aclrtMemPoolAttr = 2;
pub const ACL_RT_MEM_POOL_REUSE_ALLOW_INTERNAL_DEPENDENCIES: aclrtMemPoolAttr = 3;
pub const ACL_RT_MEM_POOL_ATTR_RELEASE_THRESHOLD: aclrtMemPoolAttr = 4;
pub const ACL_RT_MEM_POOL_ATTR_RESERVED_MEM_CURRENT: aclrtMemPoolAttr = 5;
pub const ACL_RT_MEM_POOL_ATTR_RESERVED_MEM_HIGH: aclrtMemPoolAttr = 6;
pub const ACL_RT_MEM_POOL_ATTR_USED_MEM_CURRENT: aclrtMemPoolAttr = 7;
pub const ACL_RT_MEM_POOL_ATTR_USED_MEM_HIGH: aclrtMemPoolAttr = 8;
pub const ACL_MODEL_RI_CAPTURE_MODE_GLOBAL: aclmdlRICaptureMode = 0;
pub const ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL: aclmdlRICaptureMode = 1;
pub const ACL_MODEL_RI_CAPTURE_MODE_RELAXED: aclmdlRICaptureMode = 2;
pub const ACL_MODEL_RI_CAPTURE_STATUS_NONE: aclmdlRICaptureStatus = 0;
pub const ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE: aclmdlRICaptureStatus = 1;
pub const ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED: aclmdlRICaptureStatus = 2;
pub const ACLNN_SUCCESS: aclnnStatus = 0;
pub const ACLNN_ERR_PARAM_NULLPTR: aclnnStatus = 161001;
pub const ACLNN_ERR_PARAM_INVALID: aclnnStatus = 161002;
pub const ACLNN_ERR_RUNTIME_ERROR: aclnnStatus = 361001;
pub const ACLNN_ERR_INNER: aclnnStatus = 561000;
pub const ACLNN_ERR_INNER_INFERSHAPE_ERROR: aclnnStatus = 561001;
pub const ACLNN_ERR_INNER_TILING_ERROR: aclnnStatus = 561002;
pub const ACLNN_ERR_INNER_FIND_KERNEL_ERROR: aclnnStatus = 561003;
pub const ACLNN_ERR_INNER_CREATE_EXECUTOR: aclnnStatus = 561101;
pub const ACLNN_ERR_INNER_NULLPTR: aclnnStatus = 561103;
pub const ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND: aclnnStatus = 561107;
pub const ACLNN_ERR_INNER_OPP_KERNEL_PKG_NOT_FOUND: aclnnStatus = 561112;
pub const ACL_MEMTYPE_DEVICE: aclMemType = 0;
pub const ACL_MEMTYPE_HOST: aclMemType = 1;
pub const ACL_MEMTYPE_HOST_COMPILE_INDEPENDENT: aclMemType = 2;
pub const ACL_ENGINE_SYS: aclEngineType = 0;
pub const ACL_ENGINE_AICORE: aclEngineType = 1;
pub const ACL_ENGINE_VECTOR: aclEngineType = 2;
pub const ACL_COMPILE_SYS: aclCompileType = 0;
pub const ACL_COMPILE_UNREGISTERED: aclCompileType = 1;
pub const ACL_PRECISION_MODE: aclCompileOpt = 0;
pub const ACL_AICORE_NUM: aclCompileOpt = 1;
pub const ACL_OP_SELECT_IMPL_MODE: aclCompileOpt = 3;
pub const ACL_OP_JIT_COMPILE: aclCompileOpt = 10;
pub const ACL_OP_DETERMINISTIC: aclCompileOpt = 11;
pub const ACL_OP_PRECISION_MODE: aclCompileOpt = 13;
pub const ACL_ALLOW_HF32: aclCompileOpt = 14;
pub const ACL_PRECISION_MODE_V2: aclCompileOpt = 15;
pub const HCCL_SUCCESS: HcclResult = 0;
pub const HCCL_E_PARA: HcclResult = 1;
pub const HCCL_E_PTR: HcclResult = 2;
pub const HCCL_E_MEMORY: HcclResult = 3;
pub const HCCL_E_INTERNAL: HcclResult = 4;
pub const HCCL_E_NOT_SUPPORT: HcclResult = 5;
pub const HCCL_E_NOT_FOUND: HcclResult = 6;
pub const HCCL_E_UNAVAIL: HcclResult = 7;
pub const HCCL_E_SYSCALL: HcclResult = 8;
pub const HCCL_E_TIMEOUT: HcclResult = 9;
pub const HCCL_E_OPEN_FILE_FAILURE: HcclResult = 10;
pub const HCCL_E_TCP_CONNECT: HcclResult = 11;
pub const HCCL_E_ROCE_CONNECT: HcclResult = 12;
pub const HCCL_E_TCP_TRANSFER: HcclResult = 13;
pub const HCCL_E_ROCE_TRANSFER: HcclResult = 14;
pub const HCCL_E_RUNTIME: HcclResult = 15;
pub const HCCL_E_DRV: HcclResult = 16;
pub const HCCL_E_PROFILING: HcclResult = 17;
pub const HCCL_E_CCE: HcclResult = 18;
pub const HCCL_E_NETWORK: HcclResult = 19;
pub const HCCL_E_AGAIN: HcclResult = 20;
pub const HCCL_E_REMOTE: HcclResult = 21;
pub const HCCL_E_SUSPENDING: HcclResult = 22;
pub const HCCL_REDUCE_SUM: HcclReduceOp = 0;
pub const HCCL_REDUCE_PROD: HcclReduceOp = 1;
pub const HCCL_REDUCE_MAX: HcclReduceOp = 2;
pub const HCCL_REDUCE_MIN: HcclReduceOp = 3;
pub const HCCL_REDUCE_RESERVED: HcclReduceOp = 255;
pub const HCCL_DATA_TYPE_INT8: HcclDataType = 0;
pub const HCCL_DATA_TYPE_INT16: HcclDataType = 1;
pub const HCCL_DATA_TYPE_INT32: HcclDataType = 2;
pub const HCCL_DATA_TYPE_FP16: HcclDataType = 3;
pub const HCCL_DATA_TYPE_FP32: HcclDataType = 4;
pub const HCCL_DATA_TYPE_INT64: HcclDataType = 5;
pub const HCCL_DATA_TYPE_UINT64: HcclDataType = 6;
pub const HCCL_DATA_TYPE_UINT8: HcclDataType = 7;
pub const HCCL_DATA_TYPE_UINT16: HcclDataType = 8;
pub const HCCL_DATA_TYPE_UINT32: HcclDataType = 9;
pub const HCCL_DATA_TYPE_FP64: HcclDataType = 10;
pub const HCCL_DATA_TYPE_BFP16: HcclDataType = 11;
pub const HCCL_DATA_TYPE_INT128: HcclDataType = 12;
pub const HCCL_DATA_TYPE_RESERVED: HcclDataType = 255;
pub const HCCL_SEND: HcclSendRecvType = 0;
pub const HCCL_RECV: HcclSendRecvType = 1;
pub const HCCL_SEND_RECV_RESERVED: HcclSendRecvType = 2;
pub use self::aclEngineType as aclopEngineType;
pub use self::aclCompileType as aclopCompileType;
crate::functions! {
    pub fn aclInit(config: *const c_char) -> aclError;
    pub fn aclFinalize() -> aclError;
    pub fn aclFinalizeReference(left: *mut u64) -> aclError;
    pub fn aclGetRecentErrMsg() -> *const c_char;
    pub fn aclrtGetVersion(
        major: *mut i32,
        minor: *mut i32,
        patch: *mut i32,
    ) -> aclError;
    pub fn aclsysGetCANNVersion(
        package: aclCANNPackageName,
        version: *mut aclCANNPackageVersion,
    ) -> aclError;
    pub fn aclsysGetVersionStr(
        package: *mut c_char,
        version: *mut c_char,
    ) -> aclError;
    pub fn aclsysGetVersionNum(
        package: *mut c_char,
        version: *mut i32,
    ) -> aclError;
    pub fn aclrtGetRunMode(mode: *mut aclrtRunMode) -> aclError;
    pub fn aclrtPeekAtLastError(level: aclrtLastErrLevel) -> aclError;
    pub fn aclrtGetLastError(level: aclrtLastErrLevel) -> aclError;
    pub fn aclrtGetSysParamOpt(option: aclSysParamOpt, value: *mut i64) -> aclError;
    pub fn aclrtSetSysParamOpt(option: aclSysParamOpt, value: i64) -> aclError;
    pub fn aclrtGetSocName() -> *const c_char;
    pub fn aclGetCannAttributeList(
        attributes: *mut *const aclCannAttr,
        count: *mut usize,
    ) -> aclError;
    pub fn aclGetCannAttribute(attribute: aclCannAttr, value: *mut i32) -> aclError;
    pub fn aclGetDeviceCapability(
        device: u32,
        info: aclDeviceInfo,
        value: *mut i64,
    ) -> aclError;
    pub fn aclrtGetDeviceInfo(
        device: u32,
        attribute: aclrtDevAttr,
        value: *mut i64,
    ) -> aclError;
    pub fn aclrtGetDeviceCount(count: *mut u32) -> aclError;
    pub fn aclrtSetDevice(device: i32) -> aclError;
    pub fn aclrtGetDevice(device: *mut i32) -> aclError;
    pub fn aclrtResetDevice(device: i32) -> aclError;
    pub fn aclrtResetDeviceForce(device: i32) -> aclError;
    pub fn aclrtQueryDeviceStatus(
        device: i32,
        status: *mut aclrtDeviceStatus,
    ) -> aclError;
    pub fn aclrtSynchronizeDevice() -> aclError;
    pub fn aclrtSynchronizeDeviceWithTimeout(milliseconds: i32) -> aclError;
    pub fn aclrtSetDeviceSatMode(mode: aclrtFloatOverflowMode) -> aclError;
    pub fn aclrtGetDeviceSatMode(mode: *mut aclrtFloatOverflowMode) -> aclError;
    pub fn aclrtDeviceCanAccessPeer(can: *mut i32, device: i32, peer: i32) -> aclError;
    pub fn aclrtDeviceEnablePeerAccess(peer: i32, flags: u32) -> aclError;
    pub fn aclrtDeviceDisablePeerAccess(peer: i32) -> aclError;
    pub fn aclrtDeviceGetBareTgid(process: *mut i32) -> aclError;
    pub fn aclrtSetOpWaitTimeout(seconds: u32) -> aclError;
    pub fn aclrtSetOpExecuteTimeOut(seconds: u32) -> aclError;
    pub fn aclrtCreateContext(context: *mut aclrtContext, device: i32) -> aclError;
    pub fn aclrtDestroyContext(context: aclrtContext) -> aclError;
    pub fn aclrtSetCurrentContext(context: aclrtContext) -> aclError;
    pub fn aclrtGetCurrentContext(context: *mut aclrtContext) -> aclError;
    pub fn aclrtCtxGetSysParamOpt(option: aclSysParamOpt, value: *mut i64) -> aclError;
    pub fn aclrtCtxSetSysParamOpt(option: aclSysParamOpt, value: i64) -> aclError;
    pub fn aclrtCtxGetCurrentDefaultStream(stream: *mut aclrtStream) -> aclError;
    pub fn aclrtCreateStream(stream: *mut aclrtStream) -> aclError;
    pub fn aclrtCreateStreamWithConfig(
        stream: *mut aclrtStream,
        priority: u32,
        flags: u32,
    ) -> aclError;
    pub fn aclrtDestroyStream(stream: aclrtStream) -> aclError;
    pub fn aclrtDestroyStreamForce(stream: aclrtStream) -> aclError;
    pub fn aclrtSynchronizeStream(stream: aclrtStream) -> aclError;
    pub fn aclrtSynchronizeStreamWithTimeout(
        stream: aclrtStream,
        milliseconds: i32,
    ) -> aclError;
    pub fn aclrtStreamQuery(
        stream: aclrtStream,
        status: *mut aclrtStreamStatus,
    ) -> aclError;
    pub fn aclrtStreamGetId(stream: aclrtStream, id: *mut i32) -> aclError;
    pub fn aclrtStreamGetPriority(stream: aclrtStream, priority: *mut u32) -> aclError;
    pub fn aclrtStreamGetFlags(stream: aclrtStream, flags: *mut u32) -> aclError;
    pub fn aclrtStreamWaitEvent(stream: aclrtStream, event: aclrtEvent) -> aclError;
    pub fn aclrtStreamWaitEventWithTimeout(
        stream: aclrtStream,
        event: aclrtEvent,
        milliseconds: i32,
    ) -> aclError;
    pub fn aclrtSetStreamFailureMode(stream: aclrtStream, mode: u64) -> aclError;
    pub fn aclrtCreateEvent(event: *mut aclrtEvent) -> aclError;
    pub fn aclrtCreateEventWithFlag(event: *mut aclrtEvent, flags: u32) -> aclError;
    pub fn aclrtCreateEventExWithFlag(event: *mut aclrtEvent, flags: u32) -> aclError;
    pub fn aclrtDestroyEvent(event: aclrtEvent) -> aclError;
    pub fn aclrtRecordEvent(event: aclrtEvent, stream: aclrtStream) -> aclError;
    pub fn aclrtResetEvent(event: aclrtEvent, stream: aclrtStream) -> aclError;
    pub fn aclrtQueryEventStatus(
        event: aclrtEvent,
        status: *mut aclrtEventRecordedStatus,
    ) -> aclError;
    pub fn aclrtQueryEventWaitStatus(
        event: aclrtEvent,
        status: *mut aclrtEventWaitStatus,
    ) -> aclError;
    pub fn aclrtSynchronizeEvent(event: aclrtEvent) -> aclError;
    pub fn aclrtSynchronizeEventWithTimeout(
        event: aclrtEvent,
        milliseconds: i32,
    ) -> aclError;
    pub fn aclrtEventElapsedTime(
        milliseconds: *mut f32,
        start: aclrtEvent,
        end: aclrtEvent,
    ) -> aclError;
    pub fn aclrtEventGetTimestamp(event: aclrtEvent, microseconds: *mut u64) -> aclError;
    pub fn aclrtSubscribeReport(thread: u64, stream: aclrtStream) -> aclError;
    pub fn aclrtUnSubscribeReport(thread: u64, stream: aclrtStream) -> aclError;
    pub fn aclrtProcessReport(milliseconds: i32) -> aclError;
    pub fn aclrtLaunchCallback(
        call: aclrtCallback,
        data: *mut c_void,
        block: aclrtCallbackBlockType,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtLaunchHostFunc(
        stream: aclrtStream,
        call: aclrtHostFunc,
        data: *mut c_void,
    ) -> aclError;
    pub fn aclrtMalloc(
        memory: *mut *mut c_void,
        size: usize,
        policy: aclrtMemMallocPolicy,
    ) -> aclError;
    pub fn aclrtMallocAlign32(
        memory: *mut *mut c_void,
        size: usize,
        policy: aclrtMemMallocPolicy,
    ) -> aclError;
    pub fn aclrtMallocCached(
        memory: *mut *mut c_void,
        size: usize,
        policy: aclrtMemMallocPolicy,
    ) -> aclError;
    pub fn aclrtMemFlush(memory: *mut c_void, size: usize) -> aclError;
    pub fn aclrtMemInvalidate(memory: *mut c_void, size: usize) -> aclError;
    pub fn aclrtFree(memory: *mut c_void) -> aclError;
    pub fn aclrtFreeWithDevSync(memory: *mut c_void) -> aclError;
    pub fn aclrtGetMemInfo(
        attribute: aclrtMemAttr,
        free: *mut usize,
        total: *mut usize,
    ) -> aclError;
    pub fn aclrtMallocHost(
        memory: *mut *mut c_void,
        size: usize,
    ) -> aclError;
    pub fn aclrtFreeHost(memory: *mut c_void) -> aclError;
    pub fn aclrtFreeHostWithDevSync(memory: *mut c_void) -> aclError;
    pub fn aclrtHostRegister(
        memory: *mut c_void,
        size: u64,
        type_: aclrtHostRegisterType,
        on_device: *mut *mut c_void,
    ) -> aclError;
    pub fn aclrtHostUnregister(memory: *mut c_void) -> aclError;
    pub fn aclrtMemcpy(
        to: *mut c_void,
        room: usize,
        from: *const c_void,
        size: usize,
        kind: aclrtMemcpyKind,
    ) -> aclError;
    pub fn aclrtMemcpyAsync(
        to: *mut c_void,
        room: usize,
        from: *const c_void,
        size: usize,
        kind: aclrtMemcpyKind,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtMemcpyAsyncWithCondition(
        to: *mut c_void,
        room: usize,
        from: *const c_void,
        size: usize,
        kind: aclrtMemcpyKind,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtMemcpy2d(
        to: *mut c_void,
        to_pitch: usize,
        from: *const c_void,
        from_pitch: usize,
        width: usize,
        height: usize,
        kind: aclrtMemcpyKind,
    ) -> aclError;
    pub fn aclrtMemcpy2dAsync(
        to: *mut c_void,
        to_pitch: usize,
        from: *const c_void,
        from_pitch: usize,
        width: usize,
        height: usize,
        kind: aclrtMemcpyKind,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtMemset(
        memory: *mut c_void,
        room: usize,
        value: i32,
        size: usize,
    ) -> aclError;
    pub fn aclrtMemsetAsync(
        memory: *mut c_void,
        room: usize,
        value: i32,
        size: usize,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtMemGetAllocationGranularity(
        properties: *mut aclrtPhysicalMemProp,
        option: aclrtMemGranularityOptions,
        granularity: *mut usize,
    ) -> aclError;
    pub fn aclrtReserveMemAddress(
        address: *mut *mut c_void,
        size: usize,
        alignment: usize,
        wish: *mut c_void,
        flags: u64,
    ) -> aclError;
    pub fn aclrtReleaseMemAddress(address: *mut c_void) -> aclError;
    pub fn aclrtMallocPhysical(
        pages: *mut aclrtDrvMemHandle,
        size: usize,
        properties: *const aclrtPhysicalMemProp,
        flags: u64,
    ) -> aclError;
    pub fn aclrtFreePhysical(pages: aclrtDrvMemHandle) -> aclError;
    pub fn aclrtMapMem(
        address: *mut c_void,
        size: usize,
        offset: usize,
        pages: aclrtDrvMemHandle,
        flags: u64,
    ) -> aclError;
    pub fn aclrtUnmapMem(address: *mut c_void) -> aclError;
    pub fn aclrtMemExportToShareableHandle(
        pages: aclrtDrvMemHandle,
        type_: aclrtMemHandleType,
        flags: u64,
        shared: *mut u64,
    ) -> aclError;
    pub fn aclrtMemImportFromShareableHandle(
        shared: u64,
        device: i32,
        pages: *mut aclrtDrvMemHandle,
    ) -> aclError;
    pub fn aclrtMemSetPidToShareableHandle(
        shared: u64,
        processes: *mut i32,
        count: usize,
    ) -> aclError;
    pub fn aclrtMemPoolCreate(
        pool: *mut aclrtMemPool,
        properties: *const aclrtMemPoolProps,
    ) -> aclError;
    pub fn aclrtMemPoolDestroy(pool: aclrtMemPool) -> aclError;
    pub fn aclrtMemPoolSetAttr(
        pool: aclrtMemPool,
        attribute: aclrtMemPoolAttr,
        value: *mut c_void,
    ) -> aclError;
    pub fn aclrtMemPoolGetAttr(
        pool: aclrtMemPool,
        attribute: aclrtMemPoolAttr,
        value: *mut c_void,
    ) -> aclError;
    pub fn aclrtMemPoolMallocAsync(
        memory: *mut *mut c_void,
        size: usize,
        pool: aclrtMemPool,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtMemPoolFreeAsync(
        memory: *mut c_void,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclrtMemPoolTrimTo(pool: aclrtMemPool, keep: usize) -> aclError;
    pub fn aclmdlRICaptureBegin(
        stream: aclrtStream,
        mode: aclmdlRICaptureMode,
    ) -> aclError;
    pub fn aclmdlRICaptureGetInfo(
        stream: aclrtStream,
        status: *mut aclmdlRICaptureStatus,
        graph: *mut aclmdlRI,
    ) -> aclError;
    pub fn aclmdlRICaptureEnd(stream: aclrtStream, graph: *mut aclmdlRI) -> aclError;
    pub fn aclmdlRICaptureThreadExchangeMode(mode: *mut aclmdlRICaptureMode) -> aclError;
    pub fn aclmdlRICaptureTaskGrpBegin(stream: aclrtStream) -> aclError;
    pub fn aclmdlRICaptureTaskGrpEnd(
        stream: aclrtStream,
        group: *mut aclrtTaskGrp,
    ) -> aclError;
    pub fn aclmdlRICaptureTaskUpdateBegin(
        stream: aclrtStream,
        group: aclrtTaskGrp,
    ) -> aclError;
    pub fn aclmdlRICaptureTaskUpdateEnd(stream: aclrtStream) -> aclError;
    pub fn aclmdlRIExecute(graph: aclmdlRI, milliseconds: i32) -> aclError;
    pub fn aclmdlRIExecuteAsync(graph: aclmdlRI, stream: aclrtStream) -> aclError;
    pub fn aclmdlRIAbort(graph: aclmdlRI) -> aclError;
    pub fn aclmdlRIDebugPrint(graph: aclmdlRI) -> aclError;
    pub fn aclmdlRIDestroy(graph: aclmdlRI) -> aclError;
    pub fn aclnnInit(config: *const c_char) -> aclnnStatus;
    pub fn aclnnFinalize() -> aclnnStatus;
    pub fn aclCreateTensor(
        dims: *const i64,
        rank: u64,
        type_: aclDataType,
        strides: *const i64,
        offset: i64,
        format: aclFormat,
        storage_dims: *const i64,
        storage_rank: u64,
        storage: *mut c_void,
    ) -> *mut aclTensor;
    pub fn aclInitTensor(
        tensor: *mut aclTensor,
        dims: *const i64,
        rank: u64,
        type_: aclDataType,
        strides: *const i64,
        offset: i64,
        format: aclFormat,
        storage_dims: *const i64,
        storage_rank: u64,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclDestroyTensor(tensor: *const aclTensor) -> aclnnStatus;
    pub fn aclGetViewShape(
        tensor: *const aclTensor,
        dims: *mut *mut i64,
        rank: *mut u64,
    ) -> aclnnStatus;
    pub fn aclGetViewStrides(
        tensor: *const aclTensor,
        strides: *mut *mut i64,
        rank: *mut u64,
    ) -> aclnnStatus;
    pub fn aclGetViewOffset(tensor: *const aclTensor, offset: *mut i64) -> aclnnStatus;
    pub fn aclGetStorageShape(
        tensor: *const aclTensor,
        dims: *mut *mut i64,
        rank: *mut u64,
    ) -> aclnnStatus;
    pub fn aclGetFormat(tensor: *const aclTensor, format: *mut aclFormat) -> aclnnStatus;
    pub fn aclGetDataType(
        tensor: *const aclTensor,
        type_: *mut aclDataType,
    ) -> aclnnStatus;
    pub fn aclGetRawTensorAddr(
        tensor: *const aclTensor,
        storage: *mut *mut c_void,
    ) -> aclnnStatus;
    pub fn aclSetRawTensorAddr(
        tensor: *mut aclTensor,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclCreateTensorList(
        tensors: *const *const aclTensor,
        count: u64,
    ) -> *mut aclTensorList;
    pub fn aclDestroyTensorList(list: *const aclTensorList) -> aclnnStatus;
    pub fn aclGetTensorListSize(
        list: *const aclTensorList,
        count: *mut u64,
    ) -> aclnnStatus;
    pub fn aclCreateScalar(
        value: *mut c_void,
        type_: aclDataType,
    ) -> *mut aclScalar;
    pub fn aclDestroyScalar(scalar: *const aclScalar) -> aclnnStatus;
    pub fn aclCreateScalarList(
        scalars: *const *const aclScalar,
        count: u64,
    ) -> *mut aclScalarList;
    pub fn aclDestroyScalarList(list: *const aclScalarList) -> aclnnStatus;
    pub fn aclCreateIntArray(values: *const i64, count: u64) -> *mut aclIntArray;
    pub fn aclDestroyIntArray(array: *const aclIntArray) -> aclnnStatus;
    pub fn aclGetIntArraySize(array: *const aclIntArray, count: *mut u64) -> aclnnStatus;
    pub fn aclCreateFloatArray(values: *const f32, count: u64) -> *mut aclFloatArray;
    pub fn aclDestroyFloatArray(array: *const aclFloatArray) -> aclnnStatus;
    pub fn aclGetFloatArraySize(
        array: *const aclFloatArray,
        count: *mut u64,
    ) -> aclnnStatus;
    pub fn aclCreateBoolArray(values: *const bool, count: u64) -> *mut aclBoolArray;
    pub fn aclDestroyBoolArray(array: *const aclBoolArray) -> aclnnStatus;
    pub fn aclGetBoolArraySize(
        array: *const aclBoolArray,
        count: *mut u64,
    ) -> aclnnStatus;
    pub fn aclSetAclOpExecutorRepeatable(executor: *mut aclOpExecutor) -> aclnnStatus;
    pub fn aclDestroyAclOpExecutor(executor: *mut aclOpExecutor) -> aclnnStatus;
    pub fn aclSetTensorAddr(
        executor: *mut aclOpExecutor,
        index: usize,
        tensor: *mut aclTensor,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclSetInputTensorAddr(
        executor: *mut aclOpExecutor,
        index: usize,
        tensor: *mut aclTensor,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclSetOutputTensorAddr(
        executor: *mut aclOpExecutor,
        index: usize,
        tensor: *mut aclTensor,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclSetDynamicTensorAddr(
        executor: *mut aclOpExecutor,
        index: usize,
        member: usize,
        list: *mut aclTensorList,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclSetDynamicInputTensorAddr(
        executor: *mut aclOpExecutor,
        index: usize,
        member: usize,
        list: *mut aclTensorList,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclSetDynamicOutputTensorAddr(
        executor: *mut aclOpExecutor,
        index: usize,
        member: usize,
        list: *mut aclTensorList,
        storage: *mut c_void,
    ) -> aclnnStatus;
    pub fn aclnnCalculateMatmulWeightSizeV2(
        dims: *const aclIntArray,
        type_: aclDataType,
        elements: *mut u64,
    ) -> aclnnStatus;
    pub fn aclCreateDataBuffer(
        memory: *mut c_void,
        size: usize,
    ) -> *mut aclDataBuffer;
    pub fn aclDestroyDataBuffer(buffer: *const aclDataBuffer) -> aclError;
    pub fn aclUpdateDataBuffer(
        buffer: *mut aclDataBuffer,
        memory: *mut c_void,
        size: usize,
    ) -> aclError;
    pub fn aclGetDataBufferAddr(buffer: *const aclDataBuffer) -> *mut c_void;
    pub fn aclGetDataBufferSize(buffer: *const aclDataBuffer) -> u32;
    pub fn aclGetDataBufferSizeV2(buffer: *const aclDataBuffer) -> usize;
    pub fn aclmdlCreateDataset() -> *mut aclmdlDataset;
    pub fn aclmdlDestroyDataset(set: *const aclmdlDataset) -> aclError;
    pub fn aclmdlAddDatasetBuffer(
        set: *mut aclmdlDataset,
        buffer: *mut aclDataBuffer,
    ) -> aclError;
    pub fn aclmdlGetDatasetNumBuffers(set: *const aclmdlDataset) -> usize;
    pub fn aclmdlGetDatasetBuffer(
        set: *const aclmdlDataset,
        index: usize,
    ) -> *mut aclDataBuffer;
    pub fn aclmdlSetDatasetTensorDesc(
        set: *mut aclmdlDataset,
        desc: *mut aclTensorDesc,
        index: usize,
    ) -> aclError;
    pub fn aclmdlGetDatasetTensorDesc(
        set: *const aclmdlDataset,
        index: usize,
    ) -> *mut aclTensorDesc;
    pub fn aclDataTypeSize(type_: aclDataType) -> usize;
    pub fn aclCreateTensorDesc(
        type_: aclDataType,
        rank: c_int,
        dims: *const i64,
        format: aclFormat,
    ) -> *mut aclTensorDesc;
    pub fn aclDestroyTensorDesc(desc: *const aclTensorDesc);
    pub fn aclGetTensorDescType(desc: *const aclTensorDesc) -> aclDataType;
    pub fn aclGetTensorDescFormat(desc: *const aclTensorDesc) -> aclFormat;
    pub fn aclGetTensorDescSize(desc: *const aclTensorDesc) -> usize;
    pub fn aclGetTensorDescElementCount(desc: *const aclTensorDesc) -> usize;
    pub fn aclGetTensorDescNumDims(desc: *const aclTensorDesc) -> usize;
    pub fn aclGetTensorDescDim(desc: *const aclTensorDesc, index: usize) -> i64;
    pub fn aclGetTensorDescDimV2(
        desc: *const aclTensorDesc,
        index: usize,
        dim: *mut i64,
    ) -> aclError;
    pub fn aclSetTensorDescName(
        desc: *mut aclTensorDesc,
        name: *const c_char,
    );
    pub fn aclGetTensorDescName(desc: *mut aclTensorDesc) -> *const c_char;
    pub fn aclSetTensorFormat(desc: *mut aclTensorDesc, format: aclFormat) -> aclError;
    pub fn aclSetTensorShape(
        desc: *mut aclTensorDesc,
        rank: c_int,
        dims: *const i64,
    ) -> aclError;
    pub fn aclSetTensorPlaceMent(
        desc: *mut aclTensorDesc,
        where_: aclMemType,
    ) -> aclError;
    pub fn aclmdlQuerySize(
        file: *const c_char,
        work: *mut usize,
        weights: *mut usize,
    ) -> aclError;
    pub fn aclmdlQuerySizeFromMem(
        model: *const c_void,
        size: usize,
        work: *mut usize,
        weights: *mut usize,
    ) -> aclError;
    pub fn aclmdlLoadFromFile(file: *const c_char, id: *mut u32) -> aclError;
    pub fn aclmdlLoadFromMem(
        model: *const c_void,
        size: usize,
        id: *mut u32,
    ) -> aclError;
    pub fn aclmdlLoadFromFileWithMem(
        file: *const c_char,
        id: *mut u32,
        work: *mut c_void,
        work_size: usize,
        weights: *mut c_void,
        weights_size: usize,
    ) -> aclError;
    pub fn aclmdlLoadFromMemWithMem(
        model: *const c_void,
        size: usize,
        id: *mut u32,
        work: *mut c_void,
        work_size: usize,
        weights: *mut c_void,
        weights_size: usize,
    ) -> aclError;
    pub fn aclmdlUnload(id: u32) -> aclError;
    pub fn aclmdlCreateDesc() -> *mut aclmdlDesc;
    pub fn aclmdlDestroyDesc(desc: *mut aclmdlDesc) -> aclError;
    pub fn aclmdlGetDesc(desc: *mut aclmdlDesc, id: u32) -> aclError;
    pub fn aclmdlGetNumInputs(desc: *mut aclmdlDesc) -> usize;
    pub fn aclmdlGetNumOutputs(desc: *mut aclmdlDesc) -> usize;
    pub fn aclmdlGetInputSizeByIndex(desc: *mut aclmdlDesc, index: usize) -> usize;
    pub fn aclmdlGetOutputSizeByIndex(desc: *mut aclmdlDesc, index: usize) -> usize;
    pub fn aclmdlGetInputDims(
        desc: *const aclmdlDesc,
        index: usize,
        dims: *mut aclmdlIODims,
    ) -> aclError;
    pub fn aclmdlGetInputDimsV2(
        desc: *const aclmdlDesc,
        index: usize,
        dims: *mut aclmdlIODims,
    ) -> aclError;
    pub fn aclmdlGetInputDimsRange(
        desc: *const aclmdlDesc,
        index: usize,
        range: *mut aclmdlIODimsRange,
    ) -> aclError;
    pub fn aclmdlGetOutputDims(
        desc: *const aclmdlDesc,
        index: usize,
        dims: *mut aclmdlIODims,
    ) -> aclError;
    pub fn aclmdlGetCurOutputDims(
        desc: *const aclmdlDesc,
        index: usize,
        dims: *mut aclmdlIODims,
    ) -> aclError;
    pub fn aclmdlGetInputNameByIndex(
        desc: *const aclmdlDesc,
        index: usize,
    ) -> *const c_char;
    pub fn aclmdlGetOutputNameByIndex(
        desc: *const aclmdlDesc,
        index: usize,
    ) -> *const c_char;
    pub fn aclmdlGetInputIndexByName(
        desc: *const aclmdlDesc,
        name: *const c_char,
        index: *mut usize,
    ) -> aclError;
    pub fn aclmdlGetOutputIndexByName(
        desc: *const aclmdlDesc,
        name: *const c_char,
        index: *mut usize,
    ) -> aclError;
    pub fn aclmdlGetInputDataType(desc: *const aclmdlDesc, index: usize) -> aclDataType;
    pub fn aclmdlGetOutputDataType(desc: *const aclmdlDesc, index: usize) -> aclDataType;
    pub fn aclmdlGetInputFormat(desc: *const aclmdlDesc, index: usize) -> aclFormat;
    pub fn aclmdlGetOutputFormat(desc: *const aclmdlDesc, index: usize) -> aclFormat;
    pub fn aclmdlGetDynamicBatch(
        desc: *const aclmdlDesc,
        batch: *mut aclmdlBatch,
    ) -> aclError;
    pub fn aclmdlGetDynamicHW(
        desc: *const aclmdlDesc,
        index: usize,
        hw: *mut aclmdlHW,
    ) -> aclError;
    pub fn aclmdlGetInputDynamicGearCount(
        desc: *const aclmdlDesc,
        index: usize,
        count: *mut usize,
    ) -> aclError;
    pub fn aclmdlGetInputDynamicDims(
        desc: *const aclmdlDesc,
        index: usize,
        dims: *mut aclmdlIODims,
        count: usize,
    ) -> aclError;
    pub fn aclmdlSetDynamicBatchSize(
        id: u32,
        set: *mut aclmdlDataset,
        index: usize,
        batch: u64,
    ) -> aclError;
    pub fn aclmdlSetDynamicHWSize(
        id: u32,
        set: *mut aclmdlDataset,
        index: usize,
        height: u64,
        width: u64,
    ) -> aclError;
    pub fn aclmdlSetInputDynamicDims(
        id: u32,
        set: *mut aclmdlDataset,
        index: usize,
        dims: *const aclmdlIODims,
    ) -> aclError;
    pub fn aclmdlExecute(
        id: u32,
        inputs: *const aclmdlDataset,
        outputs: *mut aclmdlDataset,
    ) -> aclError;
    pub fn aclmdlExecuteAsync(
        id: u32,
        inputs: *const aclmdlDataset,
        outputs: *mut aclmdlDataset,
        stream: aclrtStream,
    ) -> aclError;
    pub fn aclmdlInitDump() -> aclError;
    pub fn aclmdlSetDump(config: *const c_char) -> aclError;
    pub fn aclmdlFinalizeDump() -> aclError;
    pub fn aclSetCompileopt(
        option: aclCompileOpt,
        value: *const c_char,
    ) -> aclError;
    pub fn aclopCreateAttr() -> *mut aclopAttr;
    pub fn aclopDestroyAttr(attributes: *const aclopAttr);
    pub fn aclopSetAttrBool(
        attributes: *mut aclopAttr,
        name: *const c_char,
        value: u8,
    ) -> aclError;
    pub fn aclopSetAttrInt(
        attributes: *mut aclopAttr,
        name: *const c_char,
        value: i64,
    ) -> aclError;
    pub fn aclopSetAttrFloat(
        attributes: *mut aclopAttr,
        name: *const c_char,
        value: f32,
    ) -> aclError;
    pub fn aclopSetAttrString(
        attributes: *mut aclopAttr,
        name: *const c_char,
        value: *const c_char,
    ) -> aclError;
    pub fn aclopSetAttrDataType(
        attributes: *mut aclopAttr,
        name: *const c_char,
        value: aclDataType,
    ) -> aclError;
    pub fn aclopSetAttrListBool(
        attributes: *mut aclopAttr,
        name: *const c_char,
        count: c_int,
        values: *const u8,
    ) -> aclError;
    pub fn aclopSetAttrListInt(
        attributes: *mut aclopAttr,
        name: *const c_char,
        count: c_int,
        values: *const i64,
    ) -> aclError;
    pub fn aclopSetAttrListFloat(
        attributes: *mut aclopAttr,
        name: *const c_char,
        count: c_int,
        values: *const f32,
    ) -> aclError;
    pub fn aclopSetAttrListListInt(
        attributes: *mut aclopAttr,
        name: *const c_char,
        lists: c_int,
        counts: *const c_int,
        values: *const *const i64,
    ) -> aclError;
    pub fn aclopCompileAndExecute(
        operation: *const c_char,
        inputs: c_int,
        input_descs: *const *const aclTensorDesc,
        input_buffers: *const *const aclDataBuffer,
        outputs: c_int,
        output_descs: *const *const aclTensorDesc,
        output_buffers: *const *mut aclDataBuffer,
        attributes: *const aclopAttr,
        engine: aclopEngineType,
        compile: aclopCompileType,
        path: *const c_char,
        stream: aclrtStream,
    ) -> aclError;
    pub fn MsprofRegisterCallback(module: u32, handle: ProfCommandHandle) -> i32;
    pub fn MsprofReportApi(transient: u32, api: *const MsprofApi) -> i32;
    pub fn MsprofReportCompactInfo(
        transient: u32,
        data: *mut c_void,
        size: u32,
    ) -> i32;
    pub fn MsprofReportAdditionalInfo(
        transient: u32,
        data: *mut c_void,
        size: u32,
    ) -> i32;
    pub fn MsprofGetHashId(text: *const c_char, size: usize) -> u64;
    pub fn MsprofSysCycleTime() -> u64;
    pub fn HcclGetRootInfo(root: *mut HcclRootInfo) -> HcclResult;
    pub fn HcclCommInitRootInfo(
        ranks: u32,
        root: *const HcclRootInfo,
        rank: u32,
        comm: *mut HcclComm,
    ) -> HcclResult;
    pub fn HcclCommInitClusterInfo(
        rank_table: *const c_char,
        rank: u32,
        comm: *mut HcclComm,
    ) -> HcclResult;
    pub fn HcclCommInitAll(
        count: u32,
        devices: *mut i32,
        comms: *mut HcclComm,
    ) -> HcclResult;
    pub fn HcclCommDestroy(comm: HcclComm) -> HcclResult;
    pub fn HcclGetRankSize(comm: HcclComm, ranks: *mut u32) -> HcclResult;
    pub fn HcclGetRankId(comm: HcclComm, rank: *mut u32) -> HcclResult;
    pub fn HcclGetCommAsyncError(comm: HcclComm, error: *mut HcclResult) -> HcclResult;
    pub fn HcclGetErrorString(code: HcclResult) -> *const c_char;
    pub fn HcclAllReduce(
        from: *mut c_void,
        to: *mut c_void,
        count: u64,
        type_: HcclDataType,
        op: HcclReduceOp,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclReduce(
        from: *mut c_void,
        to: *mut c_void,
        count: u64,
        type_: HcclDataType,
        op: HcclReduceOp,
        root: u32,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclReduceScatter(
        from: *mut c_void,
        to: *mut c_void,
        count: u64,
        type_: HcclDataType,
        op: HcclReduceOp,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclAllGather(
        from: *mut c_void,
        to: *mut c_void,
        count: u64,
        type_: HcclDataType,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclBroadcast(
        buffer: *mut c_void,
        count: u64,
        type_: HcclDataType,
        root: u32,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclScatter(
        from: *mut c_void,
        to: *mut c_void,
        count: u64,
        type_: HcclDataType,
        root: u32,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclSend(
        buffer: *mut c_void,
        count: u64,
        type_: HcclDataType,
        to: u32,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclRecv(
        buffer: *mut c_void,
        count: u64,
        type_: HcclDataType,
        from: u32,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclBatchSendRecv(
        items: *mut HcclSendRecvItem,
        count: u32,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclAlltoAll(
        from: *const c_void,
        from_count: u64,
        from_type: HcclDataType,
        to: *const c_void,
        to_count: u64,
        to_type: HcclDataType,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclAlltoAllV(
        from: *const c_void,
        from_counts: *const c_void,
        from_offsets: *const c_void,
        from_type: HcclDataType,
        to: *const c_void,
        to_counts: *const c_void,
        to_offsets: *const c_void,
        to_type: HcclDataType,
        comm: HcclComm,
        stream: aclrtStream,
    ) -> HcclResult;
    pub fn HcclBarrier(comm: HcclComm, stream: aclrtStream) -> HcclResult;
}
