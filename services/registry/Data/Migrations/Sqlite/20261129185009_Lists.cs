using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Qbb.Registry.Data.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class Lists : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_pipelines_Status_CreatedAt",
                table: "pipelines");

            migrationBuilder.DropIndex(
                name: "IX_metrics_Name_Value",
                table: "metrics");

            migrationBuilder.DropIndex(
                name: "IX_versions_CreatedAt",
                table: "versions");

            migrationBuilder.AddColumn<string>(
                name: "Shape",
                table: "versions",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Forecast",
                table: "pipelines",
                type: "TEXT",
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "Given",
                table: "pipelines",
                type: "INTEGER",
                nullable: false,
                defaultValue: 0);

            migrationBuilder.CreateIndex(
                name: "IX_versions_CreatedAt_Id",
                table: "versions",
                columns: new[] { "CreatedAt", "Id" });

            migrationBuilder.CreateIndex(
                name: "IX_versions_Kind_CreatedAt_Id",
                table: "versions",
                columns: new[] { "Kind", "CreatedAt", "Id" });

            migrationBuilder.CreateIndex(
                name: "IX_versions_ModelId_DeletedAt_Number",
                table: "versions",
                columns: new[] { "ModelId", "DeletedAt", "Number" });

            migrationBuilder.CreateIndex(
                name: "IX_pipelines_ModelName_Id",
                table: "pipelines",
                columns: new[] { "ModelName", "Id" });

            migrationBuilder.CreateIndex(
                name: "IX_pipelines_Status_Id",
                table: "pipelines",
                columns: new[] { "Status", "Id" });

            migrationBuilder.CreateIndex(
                name: "IX_lineages_RecipeName",
                table: "lineages",
                column: "RecipeName");

            migrationBuilder.CreateIndex(
                name: "IX_metrics_Name_Value_VersionId",
                table: "metrics",
                columns: new[] { "Name", "Value", "VersionId" });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "IX_versions_CreatedAt_Id",
                table: "versions");

            migrationBuilder.DropIndex(
                name: "IX_versions_Kind_CreatedAt_Id",
                table: "versions");

            migrationBuilder.DropIndex(
                name: "IX_versions_ModelId_DeletedAt_Number",
                table: "versions");

            migrationBuilder.DropIndex(
                name: "IX_pipelines_ModelName_Id",
                table: "pipelines");

            migrationBuilder.DropIndex(
                name: "IX_pipelines_Status_Id",
                table: "pipelines");

            migrationBuilder.DropIndex(
                name: "IX_lineages_RecipeName",
                table: "lineages");

            migrationBuilder.DropIndex(
                name: "IX_metrics_Name_Value_VersionId",
                table: "metrics");

            migrationBuilder.DropColumn(
                name: "Shape",
                table: "versions");

            migrationBuilder.DropColumn(
                name: "Forecast",
                table: "pipelines");

            migrationBuilder.DropColumn(
                name: "Given",
                table: "pipelines");

            migrationBuilder.CreateIndex(
                name: "IX_versions_CreatedAt",
                table: "versions",
                column: "CreatedAt");

            migrationBuilder.CreateIndex(
                name: "IX_pipelines_Status_CreatedAt",
                table: "pipelines",
                columns: new[] { "Status", "CreatedAt" });

            migrationBuilder.CreateIndex(
                name: "IX_metrics_Name_Value",
                table: "metrics",
                columns: new[] { "Name", "Value" });
        }
    }
}
