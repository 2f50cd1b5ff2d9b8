namespace Qbb.Cuda;

/// <summary>A mark in the current stream; the time between two of them is the GPU's own.</summary>
public sealed unsafe class CudaEvent : IDisposable
{
    private readonly CudaDevice _device;
    private nint _handle;

    public CudaEvent(Device device)
    {
        _device = CudaDevice.Get(device);
        _device.MakeCurrent();
        nint handle;
        Driver.Check(Driver.EventCreate(&handle, 0), "cuEventCreate");
        _handle = handle;
    }

    /// <summary>Queues the mark on libtorch's current stream.</summary>
    public CudaEvent Record()
    {
        _device.MakeCurrent();
        Driver.Check(Driver.EventRecord(_handle, CudaStream.Current(_device.Index)), "cuEventRecord");
        return this;
    }

    /// <summary>Waits until the work before the mark is done.</summary>
    public void Synchronize()
    {
        _device.MakeCurrent();
        Driver.Check(Driver.EventSynchronize(_handle), "cuEventSynchronize");
    }

    /// <summary>Seconds from an earlier mark to this one; waits for both.</summary>
    public double SecondsSince(CudaEvent earlier)
    {
        Synchronize();
        float milliseconds;
        Driver.Check(Driver.EventElapsedTime(&milliseconds, earlier._handle, _handle), "cuEventElapsedTime");
        return milliseconds / 1e3;
    }

    public void Dispose()
    {
        if (_handle == 0)
            return;
        _device.MakeCurrent();
        Driver.Check(Driver.EventDestroy(_handle), "cuEventDestroy");
        _handle = 0;
    }
}
