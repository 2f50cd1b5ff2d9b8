namespace Qbb.Registry.Pages.Shared;

/// <summary>The parts of the site, as the navigation names them.</summary>
internal enum Area
{
    None,
    Models,
    Pipelines,
    Policies,
    Search,
    Interface,
}
