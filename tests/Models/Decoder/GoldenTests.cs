using Qbb.Checkpoints;
using Qbb.Models.Decoder;

namespace Qbb.Models.Tests.Decoder;

public class GoldenTests(ITestOutputHelper output)
{
    [Theory]
    [MemberData(nameof(Golden.Rows), MemberType = typeof(Golden))]
    public void Logits_agree_with_transformers(string name)
    {
        using var scope = torch.NewDisposeScope();
        using var grad = torch.no_grad();
        using var source = ModelSource.Open(Golden.Folder(name));
        using var model = Transformer.Load(source, torch.CPU, ScalarType.Float32);
        var golden = Golden.Of(name);
        var difference = golden.Difference(model.forward(golden.Ids()));
        output.WriteLine($"{name}: largest difference {difference:E2}, allowed {Golden.Tolerance:E0}");
        difference.ShouldBeLessThan(Golden.Tolerance);
    }
}
