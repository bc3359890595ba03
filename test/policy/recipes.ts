// All recipes of policies, for whoever sends their packets.
import type { Recipe } from './recipe.ts';
import { KNOWN } from './recipes-known.ts';
import { MORE } from './recipes-more.ts';

export type { Case, PolicyObject, Recipe } from './recipe.ts';
export const RECIPES: readonly Recipe[] = [...KNOWN, ...MORE];
