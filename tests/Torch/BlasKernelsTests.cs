using System.Runtime.InteropServices;
using Qbb.Torch.Interop;

namespace Qbb.Torch.Tests;

public class BlasKernelsTests
{
    [Fact]
    public void Matrix_products_run_on_kernels_that_fit_the_processor()
    {
        using var scope = torch.NewDisposeScope();
        torch.matmul(torch.ones([2, 2]), torch.ones([2, 2])).sum().item().ShouldBe(8);
        Assert.SkipWhen(BlasKernels.Best is null, "no AVX2 here");
        Assert.SkipUnless(NativeLibrary.TryLoad("libopenblas.so.0", out var library), "no OpenBLAS here");
        Assert.SkipWhen(Environment.GetEnvironmentVariable("OPENBLAS_CORETYPE") is not null, "OPENBLAS_CORETYPE is set");
        var core = Marshal.PtrToStringUTF8(Marshal.GetDelegateForFunctionPointer<CoreName>(NativeLibrary.GetExport(library, "openblas_get_corename"))());
        TestContext.Current.TestOutputHelper!.WriteLine($"OpenBLAS uses {core}");
        core.ShouldBe(BlasKernels.Best);
    }

    private delegate nint CoreName();
}
