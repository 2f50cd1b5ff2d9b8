#pragma warning disable EF1001 // What dotnet ef makes its services with is no public interface.
using System.Reflection;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design.Internal;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Metadata;
using Microsoft.EntityFrameworkCore.Scaffolding;
using Microsoft.Extensions.DependencyInjection;
using Qbb.Contracts;
using Qbb.Registry.Data;
using Qbb.Tests;

namespace Qbb.Registry.Tests.Data;

/// <summary>images/publish writes the model of the rows as code (dotnet ef dbcontext optimize): it must compile, and be the model that the mappings make.</summary>
public sealed class CompiledModelTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_model_as_code_is_that_of_the_mappings()
    {
        Check(model => new SqliteRegistryContext(With(new DbContextOptionsBuilder<SqliteRegistryContext>().UseSqlite("Data Source=:memory:"), model).Options));
        Check(model => new PostgresRegistryContext(With(new DbContextOptionsBuilder<PostgresRegistryContext>().UseNpgsql("Host=localhost"), model).Options));
    }

    private void Check(Func<IModel?, RegistryContext> connect)
    {
        using var context = connect(null);
        using var compiled = connect(Compile(context));
        compiled.Model.ToDebugString(MetadataDebugStringOptions.LongDefault).ShouldBe(context.Model.ToDebugString(MetadataDebugStringOptions.LongDefault));
    }

    private IModel Compile(RegistryContext context)
    {
        // The registry as the start-up program would be run, to ask it for its services.
        var services = new DesignTimeServicesBuilder(typeof(RegistryContext).Assembly, typeof(UnitFailed).Assembly, new OperationReporter(null), []).Build(context);
        var files = services.GetRequiredService<ICompiledModelScaffolder>().ScaffoldModel(
            context.GetService<IDesignTimeModel>().Model, _folder.File(context.GetType().Name),
            new CompiledModelCodeGenerationOptions { ContextType = context.GetType(), ModelNamespace = "Compiled", Language = "C#", UseNullableReferenceTypes = false });
        // Under the name of these tests, which may see the registry's internal types; its private ones they may not, as the registry's own code outside of them.
        var own = Assembly.GetExecutingAssembly();
        var references = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Where(file => file != own.Location)
            .Select(file => MetadataReference.CreateFromFile(file));
        var compilation = CSharpCompilation.Create(
            own.GetName().Name, files.Select(file => CSharpSyntaxTree.ParseText(File.ReadAllText(file))), references,
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, allowUnsafe: true));
        using var bytes = new MemoryStream();
        var result = compilation.Emit(bytes);
        result.Success.ShouldBeTrue(string.Join('\n', result.Diagnostics.Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error)));
        var model = Assembly.Load(bytes.ToArray()).GetTypes().Single(type => type.IsSubclassOf(typeof(RuntimeModel)));
        return (IModel)model.GetProperty("Instance")!.GetValue(null)!;
    }

    private static DbContextOptionsBuilder<T> With<T>(DbContextOptionsBuilder<T> options, IModel? model)
        where T : DbContext => model is null ? options : options.UseModel(model);
}
