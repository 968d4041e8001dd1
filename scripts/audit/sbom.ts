import type { Manifest } from './facts.ts';

/** The software bill of materials in CycloneDX 1.6 (ECMA-424): the project itself, and nothing that it is made of. */
export function toSbom({ name, version, description, license }: Manifest): object {
  const ref = `pkg:npm/${name}@${version}`;
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        'bom-ref': ref,
        type: 'application',
        name,
        version,
        description,
        licenses: [{ license: { id: license } }],
        purl: ref,
      },
    },
    components: [],
    dependencies: [{ ref, dependsOn: [] }],
  };
}
