using System.Runtime.InteropServices;

namespace Qbb.Cuda;

/// <summary>
/// The functions of NVIDIA's driver that are used here. A table of static fields: <see cref="CudaDevice.Get"/>, through which all use of a GPU
/// begins, asks for <see cref="DriverLibrary.Handle"/> first, so that a missing driver is told as it is and not as a failed initializer.
/// </summary>
internal static unsafe class Driver
{
    public static readonly delegate* unmanaged<int*, int, int> DeviceGet = (delegate* unmanaged<int*, int, int>)Symbol("cuDeviceGet");
    public static readonly delegate* unmanaged<int*, int, int, int> DeviceGetAttribute = (delegate* unmanaged<int*, int, int, int>)Symbol("cuDeviceGetAttribute");
    public static readonly delegate* unmanaged<byte*, int, int, int> DeviceGetName = (delegate* unmanaged<byte*, int, int, int>)Symbol("cuDeviceGetName");
    public static readonly delegate* unmanaged<byte*, int, int, int> DeviceGetPciAddress = (delegate* unmanaged<byte*, int, int, int>)Symbol("cuDeviceGetPCIBusId");
    public static readonly delegate* unmanaged<nint*, int, int> PrimaryContextRetain = (delegate* unmanaged<nint*, int, int>)Symbol("cuDevicePrimaryCtxRetain");
    public static readonly delegate* unmanaged<nint*, int> ContextGetCurrent = (delegate* unmanaged<nint*, int>)Symbol("cuCtxGetCurrent");
    public static readonly delegate* unmanaged<nint, int> ContextSetCurrent = (delegate* unmanaged<nint, int>)Symbol("cuCtxSetCurrent");
    public static readonly delegate* unmanaged<nuint*, nuint*, int> MemoryGetInfo = (delegate* unmanaged<nuint*, nuint*, int>)Symbol("cuMemGetInfo_v2");
    public static readonly delegate* unmanaged<nint*, void*, int> ModuleLoadData = (delegate* unmanaged<nint*, void*, int>)Symbol("cuModuleLoadData");
    public static readonly delegate* unmanaged<nint*, nint, byte*, int> ModuleGetFunction = (delegate* unmanaged<nint*, nint, byte*, int>)Symbol("cuModuleGetFunction");
    public static readonly delegate* unmanaged<int*, int, nint, int> FunctionGetAttribute = (delegate* unmanaged<int*, int, nint, int>)Symbol("cuFuncGetAttribute");
    public static readonly delegate* unmanaged<nint, int, int, int> FunctionSetAttribute = (delegate* unmanaged<nint, int, int, int>)Symbol("cuFuncSetAttribute");
    public static readonly delegate* unmanaged<int*, nint, int, nuint, int> Occupancy =
        (delegate* unmanaged<int*, nint, int, nuint, int>)Symbol("cuOccupancyMaxActiveBlocksPerMultiprocessor");
    public static readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int> LaunchKernel =
        (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, void**, int>)Symbol("cuLaunchKernel");
    public static readonly delegate* unmanaged<LaunchConfig*, nint, void**, void**, int> LaunchKernelWithAttributes =
        (delegate* unmanaged<LaunchConfig*, nint, void**, void**, int>)Symbol("cuLaunchKernelEx");
    public static readonly delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, int> LaunchCooperativeKernel =
        (delegate* unmanaged<nint, uint, uint, uint, uint, uint, uint, uint, nint, void**, int>)Symbol("cuLaunchCooperativeKernel");
    public static readonly delegate* unmanaged<nint*, uint, int> EventCreate = (delegate* unmanaged<nint*, uint, int>)Symbol("cuEventCreate");
    public static readonly delegate* unmanaged<nint, nint, int> EventRecord = (delegate* unmanaged<nint, nint, int>)Symbol("cuEventRecord");
    public static readonly delegate* unmanaged<nint, int> EventSynchronize = (delegate* unmanaged<nint, int>)Symbol("cuEventSynchronize");
    public static readonly delegate* unmanaged<float*, nint, nint, int> EventElapsedTime = (delegate* unmanaged<float*, nint, nint, int>)Symbol("cuEventElapsedTime");
    public static readonly delegate* unmanaged<nint, int> EventDestroy = (delegate* unmanaged<nint, int>)Symbol("cuEventDestroy_v2");
    public static readonly delegate* unmanaged<nint*, uint, int> StreamCreate = (delegate* unmanaged<nint*, uint, int>)Symbol("cuStreamCreate");
    public static readonly delegate* unmanaged<nint, nint*, int> StreamEndCapture = (delegate* unmanaged<nint, nint*, int>)Symbol("cuStreamEndCapture");
    public static readonly delegate* unmanaged<nint, int*, int> StreamIsCapturing = (delegate* unmanaged<nint, int*, int>)Symbol("cuStreamIsCapturing");

    /// <summary>cuFuncGetParamInfo(function, index, offset, size); null in drivers before CUDA 12.4.</summary>
    public static readonly delegate* unmanaged<nint, nuint, nuint*, nuint*, int> FunctionParameter =
        (delegate* unmanaged<nint, nuint, nuint*, nuint*, int>)(NativeLibrary.TryGetExport(DriverLibrary.Handle, "cuFuncGetParamInfo", out var found) ? found : 0);

    /// <summary>Throws when <paramref name="code"/> is not CUDA_SUCCESS.</summary>
    public static void Check(int code, string operation)
    {
        if (code == 0)
            return;
        nint name = 0, text = 0;
        ((delegate* unmanaged<int, nint*, int>)Symbol("cuGetErrorName"))(code, &name);
        ((delegate* unmanaged<int, nint*, int>)Symbol("cuGetErrorString"))(code, &text);
        throw new CudaException(operation, $"{Marshal.PtrToStringUTF8(name) ?? $"error {code}"}: {Marshal.PtrToStringUTF8(text)}");
    }

    private static nint Symbol(string name) => NativeLibrary.GetExport(DriverLibrary.Handle, name);
}
