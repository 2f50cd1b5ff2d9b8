using System.Runtime.InteropServices;

namespace Qbb.Torch.Interop;

/// <summary>The C ABI of native/qbb_torch.cpp.</summary>
internal static unsafe partial class NativeMethods
{
    private const string Library = "qbb_torch";

    [LibraryImport(Library)] internal static partial byte* qbb_error();
    [LibraryImport(Library)] internal static partial int qbb_value_size();
    [LibraryImport(Library)] internal static partial byte* qbb_version();
    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)] internal static partial int qbb_find(string name, string overload, out nint handle);
    [LibraryImport(Library)] internal static partial int qbb_call(nint handle, BoxedValue* arguments, int count, BoxedValue* results, int capacity, out int resultCount);
    [LibraryImport(Library)] internal static partial void qbb_list_free(nint list);
    [LibraryImport(Library)] internal static partial nint qbb_tensor_alias(nint tensor);
    [LibraryImport(Library)] internal static partial void qbb_tensor_free(nint tensor);
    [LibraryImport(Library)] internal static partial long qbb_tensor_dim(nint tensor);
    [LibraryImport(Library)] internal static partial long qbb_tensor_numel(nint tensor);
    [LibraryImport(Library)] internal static partial int qbb_tensor_dtype(nint tensor);
    [LibraryImport(Library)] internal static partial int qbb_tensor_device(nint tensor, out int index);
    [LibraryImport(Library)] internal static partial void qbb_tensor_sizes(nint tensor, long* sizes, long* strides);
    [LibraryImport(Library)] internal static partial int qbb_tensor_data(nint tensor, out nint data);
    [LibraryImport(Library)] internal static partial int qbb_tensor_is_contiguous(nint tensor);
    [LibraryImport(Library)] internal static partial int qbb_tensor_requires_grad(nint tensor);
    [LibraryImport(Library)] internal static partial int qbb_tensor_set_requires_grad(nint tensor, int value);
    [LibraryImport(Library)] internal static partial int qbb_tensor_grad(nint tensor, out nint grad);
    [LibraryImport(Library)] internal static partial int qbb_tensor_set_grad(nint tensor, nint grad);
    [LibraryImport(Library)] internal static partial int qbb_from_blob(void* data, long* sizes, int dim, int dtype, nint state, delegate* unmanaged<nint, void> release, out nint result);
    [LibraryImport(Library)] internal static partial int qbb_grad_enabled();
    [LibraryImport(Library)] internal static partial void qbb_set_grad_enabled(int enabled);
    [LibraryImport(Library)] internal static partial int qbb_backward_run(nint root, nint gradient, int retainGraph);
    [LibraryImport(Library)] internal static partial int qbb_grad(nint root, nint gradient, nint* inputs, int count, nint* results, int retainGraph, int createGraph);
    [LibraryImport(Library)] internal static partial int qbb_record(nint* inputs, int inCount, nint* outputs, int outCount, nint state, delegate* unmanaged<nint, nint*, int, nint*, int, nint*, int> backward, delegate* unmanaged<nint, void> release);
    [LibraryImport(Library)] internal static partial int qbb_generator_new(int deviceType, int index, ulong seed, out nint result);
    [LibraryImport(Library)] internal static partial void qbb_generator_free(nint generator);
    [LibraryImport(Library)] internal static partial int qbb_get_num_threads();
    [LibraryImport(Library)] internal static partial void qbb_set_num_threads(int count);
    [LibraryImport(Library)] internal static partial int qbb_cuda_device_count();
    [LibraryImport(Library)] internal static partial int qbb_cuda_synchronize(int index);
    [LibraryImport(Library)] internal static partial int qbb_cuda_stream(int index, out nint stream);

    static NativeMethods() => NativeLibrary.SetDllImportResolver(typeof(NativeMethods).Assembly, Resolve);

    private static nint Resolve(string name, System.Reflection.Assembly assembly, DllImportSearchPath? path)
    {
        if (name != Library)
            return 0;
        var file = Path.Combine(AppContext.BaseDirectory, "libqbb_torch.so");
        BlasKernels.Choose();
        try
        {
            return NativeLibrary.Load(file);
        }
        catch (DllNotFoundException e)
        {
            throw new TorchException("libtorch", [], $"{file} could not be loaded ({e.Message.Split('\n')[0]}). Install libtorch with: " +
                "apt-get install -y libtorch-dev libopenblas0-pthread g++ cmake, then build again (make build)");
        }
    }

    /// <summary>Throws libtorch's last error of this thread when <paramref name="code"/> is not 0.</summary>
    internal static void Check(int code, string operation)
    {
        if (code != 0)
            throw new TorchException(operation, [], LastError());
    }

    internal static string LastError() => Marshal.PtrToStringUTF8((nint)qbb_error()) ?? "";
}
